//! The partition: a small hash table, of which a map has many.

use hashbrown::HashTable;

use super::slab::Slab;
use super::slot::{IntoSlot, MapSlot, MapSlotMut, OwnedSlot};

/// Slots of the keys whose hashes begin alike.
///
/// The index has two bytes and a tag for each bucket. With the slots in the buckets themselves, up
/// to 56 % of them would lie idle, and all partitions reach that worst case at the same time.
#[derive(Default)]
pub(crate) struct Partition {
    index: HashTable<u16>,
    slab: Slab,
    /// Number of leading bits of the order that all keys have in common.
    pub(super) depth: u32,
    /// These bits, followed by zeros.
    pub(super) start: u64,
}

impl Partition {
    /// Makes an empty partition whose index has room for `capacity` slots.
    pub(super) fn new(depth: u32, start: u64, capacity: usize) -> Self {
        Self { index: HashTable::with_capacity(capacity), slab: Slab::default(), depth, start }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Returns true if one more slot can be inserted.
    pub(super) fn has_room(&self) -> bool {
        self.slab.has_room()
    }

    /// Iterates over the slots, in no particular order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = MapSlot<'_>> {
        self.slab.iter()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.index.capacity()
    }

    /// Takes all slots out.
    pub(super) fn take(&mut self) -> Slab {
        self.index = HashTable::new();
        std::mem::take(&mut self.slab)
    }

    /// Finds a slot; its position holds until the next insertion or removal.
    pub(super) fn position(&self, hash: u64, is_it: impl Fn(MapSlot<'_>) -> bool) -> Option<u16> {
        self.index.find(hash, |&at| self.slab.get(at).is_some_and(&is_it)).copied()
    }

    /// Likely position of a hash's slot, by the index alone.
    pub(super) fn likely(&self, hash: u64) -> Option<u16> {
        self.index.find(hash, |_| true).copied()
    }

    pub(super) fn get(&self, at: u16) -> Option<MapSlot<'_>> {
        self.slab.get(at)
    }

    pub(super) fn get_mut(&mut self, at: u16) -> Option<MapSlotMut<'_>> {
        self.slab.get_mut(at)
    }

    /// Inserts a slot whose key is not in the partition. Returns false without
    /// [room](Self::has_room).
    pub(super) fn insert(
        &mut self,
        hash: u64,
        slot: impl IntoSlot,
        hash_of: impl Fn(MapSlot<'_>) -> u64,
    ) -> bool {
        let Some(at) = self.slab.push(slot) else { return false };
        let slab = &self.slab;
        self.index.insert_unique(hash, at, |&at| slab.get(at).map_or(0, &hash_of));
        true
    }

    /// Replaces a slot by another of the same key and returns the old one; does nothing without
    /// [room](Self::has_room).
    pub(super) fn replace(
        &mut self,
        hash: u64,
        is_it: impl Fn(MapSlot<'_>) -> bool,
        slot: impl IntoSlot,
        hash_of: impl Fn(MapSlot<'_>) -> u64,
    ) -> Option<OwnedSlot<'static>> {
        let slab = &self.slab;
        let found = self.index.find_mut(hash, |&at| slab.get(at).is_some_and(&is_it))?;
        let old = std::mem::replace(found, self.slab.push(slot)?);
        self.take_at(old, hash_of)
    }

    /// Removes a slot and returns it.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(MapSlot<'_>) -> bool,
        hash_of: impl Fn(MapSlot<'_>) -> u64,
    ) -> Option<OwnedSlot<'static>> {
        let slab = &self.slab;
        let found = self.index.find_entry(hash, |&at| slab.get(at).is_some_and(&is_it)).ok()?;
        let (at, _) = found.remove();
        let slot = self.take_at(at, &hash_of)?;
        self.shrink(hash_of);
        Some(slot)
    }

    /// Takes the slot at a position that the index no longer has out of the slab.
    fn take_at(
        &mut self,
        at: u16,
        hash_of: impl Fn(MapSlot<'_>) -> u64,
    ) -> Option<OwnedSlot<'static>> {
        let (slot, moved_from) = self.slab.take(at)?;
        if let Some(moved_from) = moved_from
            && let Some(moved) = self.slab.get(at)
            && let Some(position) = self.index.find_mut(hash_of(moved), |&at| at == moved_from)
        {
            *position = at;
        }
        Some(slot)
    }

    /// Halves the index once three quarters of it lie idle; half of it stays idle, so that puts and
    /// deletes in turn do not move it each time.
    fn shrink(&mut self, hash_of: impl Fn(MapSlot<'_>) -> u64) {
        if self.index.capacity() < 32 || self.len() > self.index.capacity() / 4 {
            return;
        }
        let slots = self.take();
        self.index = HashTable::with_capacity(slots.len() * 2);
        slots.empty_into(|slot| {
            self.insert(hash_of(slot.as_ref()), slot, &hash_of);
        });
    }
}
