//! A key and what it holds, in one allocation.

use bytes::Bytes;

use crate::model::{self, Error, Key, Millis, PutRef, Result, Value};
use crate::store::ENTRY_OVERHEAD_BYTES;
use crate::store::seeded::{self, Bug};

const TEXT: u8 = 1;
const EXPIRES: u8 = 2;

/// Flags (1), the key's length (2), the revision (8); little-endian. Behind it the expiry (8, only if there is one), the key, the value.
const HEADER: usize = 11;
const EXPIRY: usize = 8;

/// The longest entry of which a copy is made where another one could be swapped for it.
const MAX_SAVED: usize = 512;

/// A stored key: header, key and value in one allocation, since a key of 16 bytes with an allocation for each part takes
/// half as much memory again.
pub(super) struct Entry(Box<[u8]>);

impl Entry {
    /// An entry of the write; `revision` is the one that it made.
    pub(super) fn new(write: &PutRef<'_>, revision: u64) -> Self {
        let PutRef { key, value, .. } = *write;
        let expiry = if write.expire_time.is_some() { EXPIRY } else { 0 };
        let mut bytes = Vec::with_capacity(HEADER + expiry + key.len() + value.len());
        bytes.push(flags(write));
        // A `Key` has at most 1,024 bytes.
        bytes.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&revision.to_le_bytes());
        if let Some(time) = write.expire_time {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    /// Becomes the entry of a write of the same key, if that has the same size; tells whether it did.
    pub(super) fn overwrite(&mut self, write: &PutRef<'_>, revision: u64) -> bool {
        let value = write.value;
        if !self.is_as_long_as(write) {
            return false;
        }
        let value_at = self.value_at();
        if let Some(header) = self.0.first_chunk_mut::<HEADER>() {
            let [written_flags, _, _, written_revision @ ..] = header;
            *written_flags = flags(write);
            *written_revision = revision.to_le_bytes();
        }
        if let (Some(time), Some(bytes)) = (write.expire_time, self.0.get_mut(HEADER..HEADER + EXPIRY)) {
            bytes.copy_from_slice(&time.to_le_bytes());
        }
        if let Some(bytes) = self.0.get_mut(value_at..)
            && !seeded::on(Bug::StaleRead)
        {
            bytes.copy_from_slice(value);
        }
        true
    }

    /// Whether a write of the same key fits into its place.
    fn is_as_long_as(&self, write: &PutRef<'_>) -> bool {
        self.value().len() == write.value.len() && (self.expiry_len() > 0) == write.expire_time.is_some()
    }

    /// Appends its bytes to `saved`, if a write of the same key fits into its place and there are few of them.
    pub(super) fn save_for(&self, write: &PutRef<'_>, saved: &mut Vec<u8>) -> Option<usize> {
        if self.0.len() > MAX_SAVED || !self.is_as_long_as(write) {
            return None;
        }
        saved.extend_from_slice(&self.0);
        Some(self.0.len())
    }

    /// Becomes what it was when it was saved.
    pub(super) fn restore(&mut self, saved: &[u8]) {
        if saved.len() == self.0.len() {
            self.0.copy_from_slice(saved);
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        let start = HEADER + self.expiry_len();
        self.0.get(start..start + self.key_len()).unwrap_or_default()
    }

    pub(super) fn value(&self) -> &[u8] {
        self.0.get(self.value_at()..).unwrap_or_default()
    }

    /// Reads its first and its last bytes, and gives something that depends on them.
    pub(super) fn warm(&self) -> u64 {
        let last = self.0.last().copied().unwrap_or_default();
        self.revision().wrapping_add(u64::from(last))
    }

    /// The store's revision at the entry's write; tells the entry from every other of the store.
    pub(super) fn revision(&self) -> u64 {
        let [_, _, _, revision @ ..] = self.header();
        u64::from_le_bytes(revision)
    }

    pub(super) fn expire_time(&self) -> Option<Millis> {
        if self.expiry_len() == 0 {
            return None;
        }
        let bytes = self.0.get(HEADER..).and_then(|rest| rest.first_chunk::<EXPIRY>());
        bytes.map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether the entry has expired.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.expire_time().is_some_and(|time| time <= now)
    }

    /// Its own bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What the entry counts in quotas, in bytes.
    pub(super) fn cost(&self) -> u64 {
        cost(self.key().len(), self.value().len())
    }

    /// The key, as the outside has it.
    pub(super) fn to_key(&self) -> Result<Key> {
        to_key(self.key())
    }

    /// A copy of the value.
    pub(super) fn to_value(&self) -> Value {
        let [flags, ..] = self.header();
        Value::kept(Bytes::copy_from_slice(self.value()), flags & TEXT != 0)
    }

    /// What a read of the key answers.
    pub(super) fn to_model(&self) -> model::Entry {
        model::Entry { value: self.to_value(), revision: self.revision(), expire_time: self.expire_time() }
    }

    fn header(&self) -> [u8; HEADER] {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    fn key_len(&self) -> usize {
        let [_, low, high, ..] = self.header();
        usize::from(u16::from_le_bytes([low, high]))
    }

    fn expiry_len(&self) -> usize {
        let [flags, ..] = self.header();
        if flags & EXPIRES == 0 { 0 } else { EXPIRY }
    }

    fn value_at(&self) -> usize {
        HEADER + self.expiry_len() + self.key_len()
    }
}

/// A key, as the outside has it.
pub(super) fn to_key(bytes: &[u8]) -> Result<Key> {
    Key::new(std::str::from_utf8(bytes).map_err(Error::internal)?)
}

/// What a key and a value of these lengths count in quotas, in bytes.
pub(super) fn cost(key_len: usize, value_len: usize) -> u64 {
    let bytes = u64::try_from(key_len.saturating_add(value_len)).unwrap_or(u64::MAX);
    bytes.saturating_add(u64::from(ENTRY_OVERHEAD_BYTES))
}

fn flags(write: &PutRef<'_>) -> u8 {
    let text = if write.text { TEXT } else { 0 };
    let expires = if write.expire_time.is_some() { EXPIRES } else { 0 };
    text | expires
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::store::Write;

    fn write(key: &str, value: &Value, expire_time: Option<Millis>) -> Write {
        Write {
            key: Key::new(key).unwrap(),
            value: value.clone(),
            expire_time,
            refuse_passed: false,
            if_revision: None,
        }
    }

    #[test]
    fn an_entry_gives_back_what_was_written() {
        let long_key = "k".repeat(1_024);
        for (key, value, expire_time) in [
            ("k", Value::text("").unwrap(), None),
            ("city", Value::text("Kolkata").unwrap(), Some(1)),
            ("schlüssel", Value::blob(vec![0, 255]).unwrap(), Some(u64::MAX)),
            (&long_key, Value::blob(vec![7; 1 << 20]).unwrap(), None),
        ] {
            let entry = Entry::new(&write(key, &value, expire_time).to_ref(), u64::MAX - 1);
            assert_eq!(entry.to_key().unwrap().as_str(), key);
            assert_eq!(entry.to_model(), model::Entry { value, revision: u64::MAX - 1, expire_time }, "{key}");
        }
    }

    #[test]
    fn an_entry_is_overwritten_in_place_only_at_the_same_size() {
        let text = |text: &str| Value::text(text).unwrap();
        for (name, before, after, fits) in [
            ("same size", (text("abc"), None), (text("xyz"), None), true),
            ("blob over text", (text("abc"), None), (Value::blob(vec![1, 2, 3]).unwrap(), None), true),
            ("other expiry", (text("abc"), Some(5)), (text("xyz"), Some(9)), true),
            ("longer", (text("abc"), None), (text("abcd"), None), false),
            ("shorter", (text("abc"), None), (text(""), None), false),
            ("expiry gone", (text("abc"), Some(5)), (text("abc"), None), false),
            ("expiry new", (text("abc"), None), (text("abc"), Some(5)), false),
        ] {
            let mut entry = Entry::new(&write("key", &before.0, before.1).to_ref(), 1);
            assert_eq!(entry.overwrite(&write("key", &after.0, after.1).to_ref(), 2), fits, "{name}");
            let ((value, expire_time), revision) = if fits { (after, 2) } else { (before, 1) };
            assert_eq!(entry.to_model(), model::Entry { value, revision, expire_time }, "{name}");
            assert_eq!(entry.key(), b"key", "{name}");
        }
    }
}
