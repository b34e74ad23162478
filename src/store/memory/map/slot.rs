//! The slot: a key and what it holds, as bytes.

use std::borrow::Cow;

use bytes::Bytes;

use crate::model::{self, Error, Key, PutRef, Result, UnixMillis, Value};

const TEXT: u8 = 1;
const EXPIRES: u8 = 2;
/// Lowest bit of the flags that count the slot's unused bytes.
const UNUSED_SHIFT: u32 = 2;

/// Bytes of flags (1), key length (2) and revision (8), little-endian. After them come the expiry
/// (8, only if there is one), the key and the value.
const HEADER: usize = 11;
const EXPIRY: usize = 8;

/// Longest slot that shares an allocation with others, in bytes.
pub(crate) const MAX_SHARED: usize = 512;
/// Divisor of the lengths of such slots, in bytes.
const STEP: usize = 16;

/// Borrowed slot. It is up to 15 bytes longer than the entry in it. Header, key and value lie
/// together: with an allocation for each part, a key of 16 bytes would take half as much memory
/// again.
#[derive(Clone, Copy)]
pub(crate) struct MapSlot<'a>(&'a [u8]);

/// Borrowed slot that can be overwritten.
pub(crate) struct MapSlotMut<'a>(&'a mut [u8]);

/// MapSlot that was taken out of a map, or is on its way from one partition to another.
pub(crate) struct OwnedSlot<'a>(Cow<'a, [u8]>);

/// Source of a slot's bytes.
pub(crate) trait IntoSlot {
    /// Length of the slot, in bytes.
    fn slot_len(&self) -> usize;

    /// Appends the slot's bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
}

/// A put, and the revision that it makes.
impl IntoSlot for (&PutRef<'_>, u64) {
    fn slot_len(&self) -> usize {
        slot_len(len(self.0))
    }

    fn append_to(self, bytes: &mut Vec<u8>) {
        let (put, revision) = self;
        let slot_len = self.slot_len();
        let end = bytes.len() + slot_len;
        bytes.reserve_exact(slot_len);
        bytes.extend_from_slice(&header(put, revision));
        if let Some(time) = put.expire_time {
            bytes.extend_from_slice(&time.as_u64().to_le_bytes());
        }
        bytes.extend_from_slice(put.key);
        bytes.extend_from_slice(put.value);
        bytes.resize(end, 0);
    }
}

impl IntoSlot for OwnedSlot<'_> {
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

impl<'a> MapSlot<'a> {
    /// Reads a slot's bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the slot's bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Returns true if a put of the same key needs a slot of the same length.
    pub(crate) fn has_room_for(self, put: &PutRef<'_>) -> bool {
        self.0.len() == slot_len(len(put))
    }

    pub(crate) fn key(self) -> &'a [u8] {
        let start = HEADER + self.expiry_len();
        self.0.get(start..start + self.key_len()).unwrap_or_default()
    }

    pub(crate) fn value(self) -> &'a [u8] {
        let end = self.0.len().saturating_sub(usize::from(self.flags() >> UNUSED_SHIFT));
        self.0.get(self.value_at()..end).unwrap_or_default()
    }

    /// Reads the first and last bytes, and returns a number that depends on them.
    pub(super) fn warm(self) -> u64 {
        let last = self.0.last().copied().unwrap_or_default();
        self.revision().wrapping_add(u64::from(last))
    }

    /// Store's revision at the entry's write. No other entry of the store has the same.
    pub(crate) fn revision(self) -> u64 {
        let [_, _, _, revision @ ..] = self.header();
        u64::from_le_bytes(revision)
    }

    pub(crate) fn expire_time(self) -> Option<UnixMillis> {
        if self.expiry_len() == 0 {
            return None;
        }
        let bytes = self.0.get(HEADER..).and_then(|rest| rest.first_chunk::<EXPIRY>());
        bytes.map(|bytes| UnixMillis::new(u64::from_le_bytes(*bytes)))
    }

    /// Returns true if the entry has expired.
    pub(crate) fn is_due(self, now: UnixMillis) -> bool {
        self.expire_time().is_some_and(|time| time <= now)
    }

    /// Copies the key.
    pub(crate) fn to_key(self) -> Result<Key> {
        to_key(self.key())
    }

    /// Copies the value.
    pub(crate) fn to_value(self) -> Value {
        Value::kept(Bytes::copy_from_slice(self.value()), self.flags() & TEXT != 0)
    }

    /// Copies the entry.
    pub(crate) fn to_entry(self) -> model::Entry {
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

impl<'a> MapSlotMut<'a> {
    /// Opens a slot's bytes for overwriting.
    pub(super) fn of(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_ref(&self) -> MapSlot<'_> {
        MapSlot(self.0)
    }

    /// Replaces the entry by that of a put of the same key, for which the slot
    /// [has room](MapSlot::has_room_for).
    pub(crate) fn overwrite(&mut self, put: &PutRef<'_>, revision: u64) {
        let key_at = HEADER + expiry_len(put);
        self.write(0, &header(put, revision));
        if let Some(time) = put.expire_time {
            self.write(HEADER, &time.as_u64().to_le_bytes());
        }
        self.write(key_at, put.key);
        self.write(key_at + put.key.len(), put.value);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Puts back the slot's earlier bytes, which are of the same length.
    pub(crate) fn restore(&mut self, bytes: &[u8]) {
        if bytes.len() == self.0.len() {
            self.0.copy_from_slice(bytes);
        }
    }
}

impl<'a> OwnedSlot<'a> {
    pub(super) fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn as_ref(&self) -> MapSlot<'_> {
        MapSlot(&self.0)
    }
}

/// Copies a key's bytes into a [`Key`].
pub(crate) fn to_key(bytes: &[u8]) -> Result<Key> {
    Key::new(std::str::from_utf8(bytes).map_err(Error::internal)?)
}

fn header(put: &PutRef<'_>, revision: u64) -> [u8; HEADER] {
    let text = if put.text { TEXT } else { 0 };
    let expires = if put.expire_time.is_some() { EXPIRES } else { 0 };
    let len = len(put);
    // Less than a step, and a `Key` has at most 1,024 bytes.
    let unused = u8::try_from(slot_len(len) - len).unwrap_or_default();
    let [low, high] = u16::try_from(put.key.len()).unwrap_or(u16::MAX).to_le_bytes();
    let [a, b, c, d, e, f, g, h] = revision.to_le_bytes();
    [text | expires | unused << UNUSED_SHIFT, low, high, a, b, c, d, e, f, g, h]
}

/// Length of a put's entry, in bytes.
fn len(put: &PutRef<'_>) -> usize {
    HEADER + expiry_len(put) + put.key.len() + put.value.len()
}

fn expiry_len(put: &PutRef<'_>) -> usize {
    if put.expire_time.is_some() { EXPIRY } else { 0 }
}

/// Length of the slot of an entry of `len` bytes.
fn slot_len(len: usize) -> usize {
    if len > MAX_SHARED { len } else { len.next_multiple_of(STEP) }
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
            expire_time: expire_time.map(UnixMillis::new),
            ..PutRef::default()
        }
    }

    fn slot(put: &PutRef<'_>, revision: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        (put, revision).append_to(&mut bytes);
        bytes
    }

    fn entry(value: Value, revision: u64, expire_time: Option<u64>) -> model::Entry {
        model::Entry { value, revision, expire_time: expire_time.map(UnixMillis::new) }
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
            let bytes = slot(&put(key, &value, expire_time), u64::MAX - 1);
            let slot = MapSlot::of(&bytes);
            assert_eq!(slot.to_key().unwrap().as_str(), key);
            assert_eq!(slot.to_entry(), entry(value, u64::MAX - 1, expire_time), "{key}");
        }
    }

    #[test]
    fn entries_of_all_lengths_come_back() {
        for len in (0..600).chain([5_000]) {
            for expire_time in [None, Some(9)] {
                let value = Value::blob(vec![7; len]).unwrap();
                let bytes = slot(&put("key", &value, expire_time), 3);
                assert!(
                    bytes.len() > MAX_SHARED || bytes.len().is_multiple_of(STEP),
                    "{} bytes",
                    bytes.len()
                );
                assert_eq!(MapSlot::of(&bytes).to_entry(), entry(value, 3, expire_time));
            }
        }
    }

    #[test]
    fn an_entry_is_overwritten_in_place_only_where_it_has_room() {
        let text = |text: &str| Value::text(text).unwrap();
        let blob = Value::blob(vec![1, 2, 3]).unwrap();
        for (name, before, after, fits) in [
            ("same size", (text("abcdefghijklmnop"), None), (text("ABCDEFGHIJKLMNOP"), None), true),
            ("blob over text", (text("abc"), None), (blob, None), true),
            ("other expiry", (text("abc"), Some(5)), (text("xyz"), Some(9)), true),
            ("a little longer", (text(""), None), (text("ab"), None), true),
            ("much longer", (text("abc"), None), (text("abcdefghijklmnopqrst"), None), false),
            ("shorter", (text("abcdef"), None), (text("xyz"), None), true),
            ("expiry gone", (text("abcdefgh"), Some(5)), (text("ABCDEFGH"), None), true),
            ("expiry new", (text("abcd"), None), (text("efgh"), Some(5)), true),
            ("expiry new, of another slot", (text(""), None), (text("ab"), Some(5)), false),
        ] {
            let mut bytes = slot(&put("key", &before.0, before.1), 1);
            let second = put("key", &after.0, after.1);
            assert_eq!(MapSlot::of(&bytes).has_room_for(&second), fits, "{name}");
            if fits {
                MapSlotMut::of(&mut bytes).overwrite(&second, 2);
                assert_eq!(MapSlot::of(&bytes).to_entry(), entry(after.0, 2, after.1), "{name}");
                assert_eq!(MapSlot::of(&bytes).key(), b"key", "{name}");
            }
        }
    }
}
