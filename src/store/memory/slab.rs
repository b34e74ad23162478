//! The entries of a partition, many in an allocation.
//!
//! With an allocation for each, their owner would have a pointer and a length for each, which is 16
//! bytes beside 127.

use super::entry::{Entry, EntryMut, IntoSlot, MAX_SHARED, Moved};

/// The most chunks of a slab.
const MAX_CHUNKS: usize = 1 << 12;
/// How many of a position's bits, the low ones, tell the slot. The others tell the chunk.
const SLOT_BITS: u32 = 4;
/// How long the slots of a chunk are together at most, where there are several, in bytes: what an
/// allocator has a size for.
const CHUNK_BYTES: usize = 2_048;
/// No chunk.
const NONE: u16 = u16::MAX;

/// Entries, each in a slot, which it keeps until [`take`](Self::take) moves it.
///
/// The slots of a chunk are equally long. For each length, at most one chunk has used and free
/// slots, and is in the list of those that are open: what lies idle is less than a chunk for each
/// length.
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    open: u16,
    empty: u16,
    len: usize,
}

/// Slots, the used ones first.
struct Chunk {
    bytes: Vec<u8>,
    /// How long a slot is, in bytes; 0: the chunk is empty.
    slot_len: u32,
    /// The next one of the chunks that are open, or of those that are empty.
    next: u16,
    /// Whether it will soon be full: it grows fast, since moving it costs more than what lies idle
    /// until then. Of a small store, or of many lengths, what lies idle costs more.
    likely_full: bool,
}

impl Default for Slab {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: NONE, empty: NONE, len: 0 }
    }
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether one more entry, of whatever length, can be put in.
    pub(super) fn has_room(&self) -> bool {
        self.empty != NONE || self.chunks.len() < MAX_CHUNKS
    }

    pub(super) fn get(&self, at: u16) -> Option<Entry<'_>> {
        let (chunk, slot) = place(at);
        let chunk = self.chunks.get(chunk)?;
        let start = slot * chunk.slot_len();
        chunk.bytes.get(start..start + chunk.slot_len()).map(Entry::of)
    }

    pub(super) fn get_mut(&mut self, at: u16) -> Option<EntryMut<'_>> {
        self.slot_mut(at).map(EntryMut::of)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.chunks.iter().flat_map(Chunk::entries)
    }

    /// Puts in an entry, and tells its position; `None` without [room](Self::has_room).
    pub(super) fn push(&mut self, entry: impl IntoSlot) -> Option<u16> {
        let slot_len = entry.slot_len();
        let id = match self.find_open(slot_len) {
            Some(id) => id,
            None => self.start(slot_len)?,
        };
        let chunk = self.chunks.get_mut(usize::from(id))?;
        let slot = chunk.used();
        chunk.grow();
        entry.append_to(&mut chunk.bytes);
        self.len += 1;
        if slot + 1 == slots(slot_len) {
            self.close(id);
        }
        position(id, slot)
    }

    /// Takes out an entry. Another one, whose position is the second result, is then where it was.
    pub(super) fn take(&mut self, at: u16) -> Option<(Moved<'static>, Option<u16>)> {
        let (id, _) = place(at);
        let slot_len = self.chunks.get(id)?.slot_len();
        let last_id = match self.find_open(slot_len) {
            Some(open) => open,
            None => self.open(u16::try_from(id).ok()?)?,
        };
        let last = self.chunks.get_mut(usize::from(last_id))?;
        let mut slot = last.pop()?;
        let last_at = position(last_id, last.used())?;
        if last.bytes.is_empty() {
            self.close(last_id);
            self.discard(last_id);
        }
        if last_at != at {
            slot.swap_with_slice(self.slot_mut(at)?);
        }
        self.len -= 1;
        Some((Moved::new(slot), (last_at != at).then_some(last_at)))
    }

    /// Gives all entries to `put`.
    pub(super) fn empty_into(self, mut put: impl FnMut(Moved<'_>)) {
        for chunk in self.chunks {
            if slots(chunk.slot_len()) == 1 {
                put(Moved::new(chunk.bytes));
            } else {
                chunk.entries().for_each(|entry| put(Moved::new(entry.slot())));
            }
        }
    }

    fn slot_mut(&mut self, at: u16) -> Option<&mut [u8]> {
        let (chunk, slot) = place(at);
        let chunk = self.chunks.get_mut(chunk)?;
        let (start, len) = (slot * chunk.slot_len(), chunk.slot_len());
        chunk.bytes.get_mut(start..start + len)
    }

    fn find_open(&self, slot_len: usize) -> Option<u16> {
        let mut id = self.open;
        while let Some(chunk) = self.chunks.get(usize::from(id)) {
            if chunk.slot_len() == slot_len {
                return Some(id);
            }
            id = chunk.next;
        }
        None
    }

    /// Makes an empty chunk one of slots of this length.
    fn start(&mut self, slot_len: usize) -> Option<u16> {
        let id = if self.empty == NONE {
            if self.chunks.len() >= MAX_CHUNKS {
                return None;
            }
            if self.chunks.len() == self.chunks.capacity() {
                self.chunks.reserve_exact((self.chunks.len() / 8).max(1));
            }
            self.chunks.push(Chunk::empty(NONE));
            u16::try_from(self.chunks.len() - 1).ok()?
        } else {
            let id = self.empty;
            self.empty = self.chunks.get(usize::from(id))?.next;
            id
        };
        let before = usize::from(id).checked_sub(1).and_then(|before| self.chunks.get(before));
        let likely_full = before.is_some_and(|before| before.slot_len() == slot_len);
        let chunk = self.chunks.get_mut(usize::from(id))?;
        chunk.slot_len = u32::try_from(slot_len).ok()?;
        chunk.likely_full = likely_full;
        self.open(id)
    }

    fn open(&mut self, id: u16) -> Option<u16> {
        self.chunks.get_mut(usize::from(id))?.next = self.open;
        self.open = id;
        Some(id)
    }

    fn close(&mut self, id: u16) {
        let Some(next) = self.chunks.get(usize::from(id)).map(|chunk| chunk.next) else { return };
        if self.open == id {
            self.open = next;
            return;
        }
        let mut before = self.open;
        while let Some(chunk) = self.chunks.get_mut(usize::from(before)) {
            if chunk.next == id {
                chunk.next = next;
                return;
            }
            before = chunk.next;
        }
    }

    fn discard(&mut self, id: u16) {
        if let Some(chunk) = self.chunks.get_mut(usize::from(id)) {
            *chunk = Chunk::empty(self.empty);
            self.empty = id;
        }
    }
}

impl Chunk {
    fn empty(next: u16) -> Self {
        Self { bytes: Vec::new(), slot_len: 0, next, likely_full: false }
    }

    fn slot_len(&self) -> usize {
        self.slot_len as usize
    }

    fn used(&self) -> usize {
        self.bytes.len().checked_div(self.slot_len()).unwrap_or_default()
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.bytes.chunks_exact(self.slot_len().max(1)).map(Entry::of)
    }

    /// Sees to it that one more slot has room.
    fn grow(&mut self) {
        let (used, slots) = (self.used(), slots(self.slot_len()));
        if slots > 1 && self.bytes.len() == self.bytes.capacity() {
            let more = if self.likely_full { used.max(4) } else { (used / 4).clamp(1, 2) };
            self.bytes.reserve_exact(more.min(slots - used) * self.slot_len());
        }
    }

    /// Takes out the last slot.
    fn pop(&mut self) -> Option<Vec<u8>> {
        let start = self.bytes.len().checked_sub(self.slot_len())?;
        if start == 0 {
            return Some(std::mem::take(&mut self.bytes));
        }
        let last = self.bytes.split_off(start);
        if start <= self.bytes.capacity() / 4 {
            self.bytes.shrink_to_fit();
        }
        Some(last)
    }
}

/// How many slots of this length a chunk has.
fn slots(slot_len: usize) -> usize {
    if slot_len > MAX_SHARED { 1 } else { (CHUNK_BYTES / slot_len.max(1)).min(1 << SLOT_BITS) }
}

fn place(at: u16) -> (usize, usize) {
    (usize::from(at >> SLOT_BITS), usize::from(at & ((1 << SLOT_BITS) - 1)))
}

fn position(chunk: u16, slot: usize) -> Option<u16> {
    Some(chunk << SLOT_BITS | u16::try_from(slot).ok()?)
}

#[cfg(test)]
mod tests;
