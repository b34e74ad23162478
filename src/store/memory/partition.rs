//! A small hash table, of which a store has many.

use hashbrown::HashTable;

use super::entry::{Entry, EntryMut, IntoSlot, Moved};
use super::slab::Slab;

/// The entries whose hashes begin alike.
///
/// The index has two bytes and a tag for each bucket: with the entries in the buckets themselves,
/// at worst 56 % of them would lie idle, and that worst case is all partitions' at the same time.
#[derive(Default)]
pub(super) struct Partition {
    index: HashTable<u16>,
    slab: Slab,
    /// How many bits of the order all entries have in common.
    pub(super) depth: u32,
    /// Those bits, and zeros behind them.
    pub(super) start: u64,
}

impl Partition {
    /// An empty partition whose index has room for so many entries.
    pub(super) fn new(depth: u32, start: u64, capacity: usize) -> Self {
        Self { index: HashTable::with_capacity(capacity), slab: Slab::default(), depth, start }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether one more entry can be put in.
    pub(super) fn has_room(&self) -> bool {
        self.slab.has_room()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slab.iter()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.index.capacity()
    }

    /// The entries, taken out.
    pub(super) fn take(&mut self) -> Slab {
        self.index = HashTable::new();
        std::mem::take(&mut self.slab)
    }

    /// Where in [`get`](Self::get) an entry is, until something is put in or taken out.
    pub(super) fn position(&self, hash: u64, is_it: impl Fn(Entry<'_>) -> bool) -> Option<u16> {
        self.index.find(hash, |&at| self.slab.get(at).is_some_and(&is_it)).copied()
    }

    /// Where the entry of a hash is most likely, which only the index is asked for.
    pub(super) fn likely(&self, hash: u64) -> Option<u16> {
        self.index.find(hash, |_| true).copied()
    }

    pub(super) fn get(&self, at: u16) -> Option<Entry<'_>> {
        self.slab.get(at)
    }

    pub(super) fn get_mut(&mut self, at: u16) -> Option<EntryMut<'_>> {
        self.slab.get_mut(at)
    }

    /// Puts in an entry whose key is not there yet, if [there is room](Self::has_room); tells
    /// whether it did.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: impl IntoSlot,
        hash_of: impl Fn(Entry<'_>) -> u64,
    ) -> bool {
        let Some(at) = self.slab.push(entry) else { return false };
        let slab = &self.slab;
        self.index.insert_unique(hash, at, |&at| slab.get(at).map_or(0, &hash_of));
        true
    }

    /// Puts an entry of the same key in the place of one that is there, which it gives, if [there
    /// is room](Self::has_room).
    pub(super) fn replace(
        &mut self,
        hash: u64,
        is_it: impl Fn(Entry<'_>) -> bool,
        entry: impl IntoSlot,
        hash_of: impl Fn(Entry<'_>) -> u64,
    ) -> Option<Moved<'static>> {
        let slab = &self.slab;
        let found = self.index.find_mut(hash, |&at| slab.get(at).is_some_and(&is_it))?;
        let old = std::mem::replace(found, self.slab.push(entry)?);
        self.take_at(old, hash_of)
    }

    /// Takes out one entry.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(Entry<'_>) -> bool,
        hash_of: impl Fn(Entry<'_>) -> u64,
    ) -> Option<Moved<'static>> {
        let slab = &self.slab;
        let found = self.index.find_entry(hash, |&at| slab.get(at).is_some_and(&is_it)).ok()?;
        let (at, _) = found.remove();
        let entry = self.take_at(at, &hash_of)?;
        self.shrink(hash_of);
        Some(entry)
    }

    /// Takes out the entry at a position of which the index has no more.
    fn take_at(&mut self, at: u16, hash_of: impl Fn(Entry<'_>) -> u64) -> Option<Moved<'static>> {
        let (entry, moved_from) = self.slab.take(at)?;
        if let Some(moved_from) = moved_from
            && let Some(moved) = self.slab.get(at)
            && let Some(position) = self.index.find_mut(hash_of(moved), |&at| at == moved_from)
        {
            *position = at;
        }
        Some(entry)
    }

    /// Gives memory back once three quarters lie idle, half of it, so that a put and a delete in
    /// turn do not move it each time.
    fn shrink(&mut self, hash_of: impl Fn(Entry<'_>) -> u64) {
        if self.index.capacity() < 32 || self.len() > self.index.capacity() / 4 {
            return;
        }
        let entries = self.take();
        self.index = HashTable::with_capacity(entries.len() * 2);
        entries.empty_into(|entry| {
            self.insert(hash_of(entry.as_ref()), entry, &hash_of);
        });
    }
}
