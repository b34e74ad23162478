//! The slab: the slots of a partition, many in one allocation.
//!
//! An allocation for each slot would need a pointer and a length for each: 16 bytes beside 127.

use super::slot::{IntoSlot, MAX_SHARED, MapSlot, MapSlotMut, OwnedSlot};

/// Maximum number of chunks in a slab.
const MAX_CHUNKS: usize = 1 << 12;
/// Number of low bits of a position that select the slot. The others select the chunk.
const SLOT_BITS: u32 = 4;
/// Maximum length of a chunk of several slots, in bytes: a size class of common allocators.
const CHUNK_BYTES: usize = 2_048;
/// End of a list of chunks.
const NO_CHUNK: u16 = u16::MAX;

/// Slots, each of which keeps its position until [`take`](Self::take) moves it.
///
/// The slots of a chunk are equally long. For each length, at most one chunk has both used and free
/// slots; it is in the list of open chunks. So less than a chunk lies idle for each length.
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    /// Head of the list of open chunks.
    open: u16,
    /// Head of the list of empty chunks.
    empty: u16,
    len: usize,
}

/// Used slots of one length, one after another.
struct Chunk {
    bytes: Vec<u8>,
    /// Length of a slot, in bytes; 0: the chunk is empty.
    slot_len: u32,
    /// Next chunk in the list of open or of empty chunks.
    next: u16,
    /// True if the chunk will soon be full. Then it grows fast, since moving it costs more than
    /// what lies idle until then. In a small store, or with many lengths, idle bytes cost more.
    likely_full: bool,
}

impl Default for Slab {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: NO_CHUNK, empty: NO_CHUNK, len: 0 }
    }
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns true if one more slot, of any length, can be added.
    pub(super) fn has_room(&self) -> bool {
        self.empty != NO_CHUNK || self.chunks.len() < MAX_CHUNKS
    }

    pub(super) fn get(&self, at: u16) -> Option<MapSlot<'_>> {
        let (chunk, slot) = place(at);
        let chunk = self.chunks.get(chunk)?;
        let start = slot * chunk.slot_len();
        chunk.bytes.get(start..start + chunk.slot_len()).map(MapSlot::of)
    }

    pub(super) fn get_mut(&mut self, at: u16) -> Option<MapSlotMut<'_>> {
        self.slot_mut(at).map(MapSlotMut::of)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = MapSlot<'_>> {
        self.chunks.iter().flat_map(Chunk::slots)
    }

    /// Adds a slot and returns its position, or `None` without [room](Self::has_room).
    pub(super) fn push(&mut self, new: impl IntoSlot) -> Option<u16> {
        let slot_len = new.slot_len();
        let id = match self.find_open(slot_len) {
            Some(id) => id,
            None => self.start(slot_len)?,
        };
        let chunk = self.chunks.get_mut(usize::from(id))?;
        let slot = chunk.used();
        chunk.grow();
        new.append_to(&mut chunk.bytes);
        self.len += 1;
        if slot + 1 == slots(slot_len) {
            self.close(id);
        }
        position(id, slot)
    }

    /// Takes a slot out. Another one may move into its position; its earlier position is the second
    /// result.
    pub(super) fn take(&mut self, at: u16) -> Option<(OwnedSlot<'static>, Option<u16>)> {
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
        Some((OwnedSlot::new(slot), (last_at != at).then_some(last_at)))
    }

    /// Passes every slot to `put`.
    pub(super) fn empty_into(self, mut put: impl FnMut(OwnedSlot<'_>)) {
        for chunk in self.chunks {
            if slots(chunk.slot_len()) == 1 {
                put(OwnedSlot::new(chunk.bytes));
            } else {
                chunk.slots().for_each(|slot| put(OwnedSlot::new(slot.bytes())));
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

    /// Takes an empty chunk, or a new one, for slots of this length.
    fn start(&mut self, slot_len: usize) -> Option<u16> {
        let id = if self.empty == NO_CHUNK {
            if self.chunks.len() >= MAX_CHUNKS {
                return None;
            }
            if self.chunks.len() == self.chunks.capacity() {
                self.chunks.reserve_exact((self.chunks.len() / 8).max(1));
            }
            self.chunks.push(Chunk::empty(NO_CHUNK));
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

    fn slots(&self) -> impl Iterator<Item = MapSlot<'_>> {
        self.bytes.chunks_exact(self.slot_len().max(1)).map(MapSlot::of)
    }

    /// Reserves room for one more slot.
    fn grow(&mut self) {
        let (used, slots) = (self.used(), slots(self.slot_len()));
        if slots > 1 && self.bytes.len() == self.bytes.capacity() {
            let more = if self.likely_full { used.max(4) } else { (used / 4).clamp(1, 2) };
            self.bytes.reserve_exact(more.min(slots - used) * self.slot_len());
        }
    }

    /// Takes the last slot out.
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

/// Number of slots of this length in a full chunk.
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
