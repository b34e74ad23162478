//! A key and what it holds, as bytes.

use std::borrow::Cow;

use bytes::Bytes;

use crate::model::{self, Error, Key, PutRef, Result, UnixMillis, Value};
use crate::store::ENTRY_OVERHEAD_BYTES;
use crate::store::seeded::{self, Bug};

const TEXT: u8 = 1;
const EXPIRES: u8 = 2;
/// From this bit of the flags on, how many bytes of the slot are unused.
const UNUSED_SHIFT: u32 = 2;

/// Flags (1), the key's length (2), the revision (8); little-endian. Behind it the expiry (8, only
/// if there is one), the key, the value.
const HEADER: usize = 11;
const EXPIRY: usize = 8;

/// The longest entry that shares an allocation with others, in bytes.
pub(super) const MAX_SHARED: usize = 512;
/// What the lengths of such entries' slots are multiples of.
const STEP: usize = 16;

/// A stored key: what is in a slot, which is up to 15 bytes longer. Header, key and value lie
/// together, since a key of 16 bytes with an allocation for each part takes half as much memory
/// again.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a>(&'a [u8]);

/// A stored key that can be overwritten.
pub(super) struct EntryMut<'a>(&'a mut [u8]);

/// What is put into a slot.
pub(super) trait IntoSlot {
    /// How long the slot is, in bytes.
    fn slot_len(&self) -> usize;

    /// Appends the slot's bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
}

/// An entry that a write makes.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) write: &'a PutRef<'a>,
    /// The revision that the write made.
    pub(super) revision: u64,
}

/// An entry on its way from one slot to another, or to nowhere.
pub(super) struct Moved<'a>(Cow<'a, [u8]>);

impl IntoSlot for &NewEntry<'_> {
    fn slot_len(&self) -> usize {
        slot_len(len(self.write))
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        let PutRef { key, value, expire_time, .. } = *self.write;
        let end = bytes.len() + self.slot_len();
        bytes.reserve_exact(self.slot_len());
        bytes.extend_from_slice(&self.header());
        if let Some(time) = expire_time {
            bytes.extend_from_slice(&time.as_u64().to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes.resize(end, 0);
    }
}

impl IntoSlot for Moved<'_> {
    fn slot_len(&self) -> usize {
        self.0.len()
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        match self.0 {
            Cow::Owned(slot) if bytes.capacity() == 0 => *bytes = slot,
            Cow::Owned(slot) => bytes.extend_from_slice(&slot),
            Cow::Borrowed(slot) => bytes.extend_from_slice(slot),
        }
    }
}

impl NewEntry<'_> {
    /// What the entry counts in quotas, in bytes.
    pub(super) fn cost(&self) -> u64 {
        cost(self.write.key.len(), self.write.value.len())
    }

    fn header(&self) -> [u8; HEADER] {
        let PutRef { key, text, expire_time, .. } = *self.write;
        let text = if text { TEXT } else { 0 };
        let expires = if expire_time.is_some() { EXPIRES } else { 0 };
        // Less than a step, and a `Key` has at most 1,024 bytes.
        let unused = u8::try_from(self.slot_len() - len(self.write)).unwrap_or_default();
        let [low, high] = u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes();
        let [a, b, c, d, e, f, g, h] = self.revision.to_le_bytes();
        [text | expires | unused << UNUSED_SHIFT, low, high, a, b, c, d, e, f, g, h]
    }
}

impl<'a> Entry<'a> {
    /// The entry in a slot.
    pub(super) fn of(slot: &'a [u8]) -> Self {
        Self(slot)
    }

    /// The slot's bytes.
    pub(super) fn slot(self) -> &'a [u8] {
        self.0
    }

    /// Whether a write of the same key fits into its place.
    pub(super) fn has_room_for(self, write: &PutRef<'_>) -> bool {
        self.0.len() == slot_len(len(write))
    }

    pub(super) fn key(self) -> &'a [u8] {
        let start = HEADER + self.expiry_len();
        self.0.get(start..start + self.key_len()).unwrap_or_default()
    }

    pub(super) fn value(self) -> &'a [u8] {
        let end = self.0.len().saturating_sub(usize::from(self.flags() >> UNUSED_SHIFT));
        self.0.get(self.value_at()..end).unwrap_or_default()
    }

    /// Reads its first and its last bytes, and gives something that depends on them.
    pub(super) fn warm(self) -> u64 {
        let last = self.0.last().copied().unwrap_or_default();
        self.revision().wrapping_add(u64::from(last))
    }

    /// The store's revision at the entry's write; tells the entry from every other of the store.
    pub(super) fn revision(self) -> u64 {
        let [_, _, _, revision @ ..] = self.header();
        u64::from_le_bytes(revision)
    }

    pub(super) fn expire_time(self) -> Option<UnixMillis> {
        if self.expiry_len() == 0 {
            return None;
        }
        let bytes = self.0.get(HEADER..).and_then(|rest| rest.first_chunk::<EXPIRY>());
        bytes.map(|bytes| UnixMillis::new(u64::from_le_bytes(*bytes)))
    }

    /// Whether the entry has expired.
    pub(super) fn is_due(self, now: UnixMillis) -> bool {
        self.expire_time().is_some_and(|time| time <= now)
    }

    /// What the entry counts in quotas, in bytes.
    pub(super) fn cost(self) -> u64 {
        cost(self.key().len(), self.value().len())
    }

    /// The key, as the outside has it.
    pub(super) fn to_key(self) -> Result<Key> {
        to_key(self.key())
    }

    /// A copy of the value.
    pub(super) fn to_value(self) -> Value {
        Value::kept(Bytes::copy_from_slice(self.value()), self.flags() & TEXT != 0)
    }

    /// What a read of the key answers.
    pub(super) fn to_model(self) -> model::Entry {
        model::Entry {
            value: self.to_value(),
            revision: self.revision(),
            expire_time: self.expire_time(),
        }
    }

    fn header(self) -> [u8; HEADER] {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    fn flags(self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    fn key_len(self) -> usize {
        let [_, low, high, ..] = self.header();
        usize::from(u16::from_le_bytes([low, high]))
    }

    fn expiry_len(self) -> usize {
        if self.flags() & EXPIRES == 0 { 0 } else { EXPIRY }
    }

    fn value_at(self) -> usize {
        HEADER + self.expiry_len() + self.key_len()
    }
}

impl<'a> EntryMut<'a> {
    /// The entry in a slot.
    pub(super) fn of(slot: &'a mut [u8]) -> Self {
        Self(slot)
    }

    pub(super) fn as_ref(&self) -> Entry<'_> {
        Entry(self.0)
    }

    /// Becomes the entry of a write of the same key, for which it [has room](Entry::has_room_for).
    pub(super) fn overwrite(&mut self, new: &NewEntry<'_>) {
        let PutRef { key, value, expire_time, .. } = *new.write;
        let key_at = HEADER + expiry_len(new.write);
        let value_at = key_at + key.len();
        self.write(0, &new.header());
        if let Some(time) = expire_time {
            self.write(HEADER, &time.as_u64().to_le_bytes());
        }
        self.write(key_at, key);
        if !seeded::on(Bug::StaleRead) {
            self.write(value_at, value);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Becomes what it was when its slot's bytes were these.
    pub(super) fn restore(&mut self, slot: &[u8]) {
        if slot.len() == self.0.len() {
            self.0.copy_from_slice(slot);
        }
    }
}

impl<'a> Moved<'a> {
    pub(super) fn new(slot: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(slot.into())
    }

    pub(super) fn as_ref(&self) -> Entry<'_> {
        Entry(&self.0)
    }
}

/// A key, as the outside has it.
pub(super) fn to_key(bytes: &[u8]) -> Result<Key> {
    Key::new(std::str::from_utf8(bytes).map_err(Error::internal)?)
}

/// How long the entry of a write is, in bytes.
fn len(write: &PutRef<'_>) -> usize {
    HEADER + expiry_len(write) + write.key.len() + write.value.len()
}

fn expiry_len(write: &PutRef<'_>) -> usize {
    if write.expire_time.is_some() { EXPIRY } else { 0 }
}

/// How long the slot of such an entry is, in bytes.
fn slot_len(len: usize) -> usize {
    if len > MAX_SHARED { len } else { len.next_multiple_of(STEP) }
}

/// What a key and a value of these lengths count in quotas, in bytes.
pub(super) fn cost(key_len: usize, value_len: usize) -> u64 {
    let bytes = u64::try_from(key_len.saturating_add(value_len)).unwrap_or(u64::MAX);
    bytes.saturating_add(u64::from(ENTRY_OVERHEAD_BYTES))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn put<'a>(key: &'a str, value: &'a Value, expire_time: Option<u64>) -> PutRef<'a> {
        PutRef {
            key: key.as_bytes(),
            value: value.as_bytes(),
            text: value.is_text(),
            expiry: None,
            expire_time: expire_time.map(UnixMillis::new),
            if_revision: None,
        }
    }

    fn slot(put: &PutRef<'_>, revision: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        NewEntry { write: put, revision }.append_to(&mut bytes);
        bytes
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
            let slot = slot(&put(key, &value, expire_time), u64::MAX - 1);
            let entry = Entry::of(&slot);
            assert_eq!(entry.to_key().unwrap().as_str(), key);
            assert_eq!(
                entry.to_model(),
                model::Entry {
                    value,
                    revision: u64::MAX - 1,
                    expire_time: expire_time.map(UnixMillis::new)
                },
                "{key}"
            );
        }
    }

    #[test]
    fn entries_of_all_lengths_come_back() {
        for len in (0..600).chain([5_000]) {
            for expire_time in [None, Some(9)] {
                let value = Value::blob(vec![7; len]).unwrap();
                let slot = slot(&put("key", &value, expire_time), 3);
                assert!(
                    slot.len() > MAX_SHARED || slot.len().is_multiple_of(STEP),
                    "{} bytes",
                    slot.len()
                );
                assert_eq!(
                    Entry::of(&slot).to_model(),
                    model::Entry {
                        value,
                        revision: 3,
                        expire_time: expire_time.map(UnixMillis::new)
                    }
                );
            }
        }
    }

    #[test]
    fn an_entry_is_overwritten_in_place_only_where_it_has_room() {
        let text = |text: &str| Value::text(text).unwrap();
        for (name, before, after, fits) in [
            ("same size", (text("abcdefghijklmnop"), None), (text("ABCDEFGHIJKLMNOP"), None), true),
            (
                "blob over text",
                (text("abc"), None),
                (Value::blob(vec![1, 2, 3]).unwrap(), None),
                true,
            ),
            ("other expiry", (text("abc"), Some(5)), (text("xyz"), Some(9)), true),
            ("a little longer", (text(""), None), (text("ab"), None), true),
            ("much longer", (text("abc"), None), (text("abcdefghijklmnopqrst"), None), false),
            ("shorter", (text("abcdef"), None), (text("xyz"), None), true),
            ("expiry gone", (text("abcdefgh"), Some(5)), (text("ABCDEFGH"), None), true),
            ("expiry new", (text("abcd"), None), (text("efgh"), Some(5)), true),
            ("expiry new, of another slot", (text(""), None), (text("ab"), Some(5)), false),
        ] {
            let mut slot = slot(&put("key", &before.0, before.1), 1);
            let second = put("key", &after.0, after.1);
            let new = NewEntry { write: &second, revision: 2 };
            assert_eq!(Entry::of(&slot).has_room_for(&second), fits, "{name}");
            if fits {
                EntryMut::of(&mut slot).overwrite(&new);
                let (value, expire_time) = (after.0, after.1.map(UnixMillis::new));
                assert_eq!(
                    Entry::of(&slot).to_model(),
                    model::Entry { value, revision: 2, expire_time },
                    "{name}"
                );
                assert_eq!(Entry::of(&slot).key(), b"key", "{name}");
            }
        }
    }
}
