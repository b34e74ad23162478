//! A small hash table, of which a store has many.

use hashbrown::HashTable;

use super::entry::Entry;

/// The most entries that a partition can hold, since its index counts in 16 bits.
pub(super) const MAX_ENTRIES: usize = u16::MAX as usize;

/// The entries whose hashes begin alike.
///
/// The entries lie one after another, and the index has two bytes and a tag for each bucket: with the entries in the buckets
/// themselves, at worst 56 % of 17 bytes each would lie idle, and that worst case is all partitions' at the same time.
#[derive(Default)]
pub(super) struct Partition {
    index: HashTable<u16>,
    entries: Vec<Entry>,
    /// How many bits of the order all entries have in common.
    pub(super) depth: u32,
    /// Those bits, and zeros behind them.
    pub(super) start: u64,
}

impl Partition {
    /// An empty partition with room for so many entries.
    pub(super) fn new(depth: u32, start: u64, capacity: usize) -> Self {
        let entries = Vec::with_capacity(capacity);
        Self { index: HashTable::with_capacity(capacity), entries, depth, start }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// The entries, taken out.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        self.index = HashTable::new();
        std::mem::take(&mut self.entries)
    }

    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let position = self.position(hash, is_it)?;
        self.entries.get(position)
    }

    pub(super) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        let position = self.position(hash, is_it)?;
        self.entries.get_mut(position)
    }

    fn position(&self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<usize> {
        let found = self.index.find(hash, |&at| self.entries.get(usize::from(at)).is_some_and(&is_it))?;
        Some(usize::from(*found))
    }

    /// Puts in an entry that is not there yet; one too many is left out, which the caller rules out beforehand.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry, hash_of: impl Fn(&Entry) -> u64) {
        let Ok(at) = u16::try_from(self.entries.len()) else { return };
        if self.entries.len() == self.entries.capacity() {
            // Doubling would leave up to 16 bytes a key idle; an eighth costs a short copy more often.
            self.entries.reserve_exact((self.entries.len() / 8).max(4));
        }
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |&at| entries.get(usize::from(at)).map_or(0, &hash_of));
    }

    /// Takes out one entry.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
        hash_of: impl Fn(&Entry) -> u64,
    ) -> Option<Entry> {
        let entries = &self.entries;
        let found = self.index.find_entry(hash, |&at| entries.get(usize::from(at)).is_some_and(&is_it)).ok()?;
        let (at, _) = found.remove();
        let entry = self.entries.swap_remove(usize::from(at));
        if let Some(moved) = self.entries.get(usize::from(at)) {
            let moved_from = self.entries.len();
            if let Some(slot) = self.index.find_mut(hash_of(moved), |&at| usize::from(at) == moved_from) {
                *slot = at;
            }
        }
        self.shrink(hash_of);
        Some(entry)
    }

    /// Gives memory back once three quarters lie idle, half of it, so that a put and a delete in turn do not move it each time.
    fn shrink(&mut self, hash_of: impl Fn(&Entry) -> u64) {
        let len = self.entries.len();
        if self.entries.capacity() >= 32 && len <= self.entries.capacity() / 4 {
            self.entries.shrink_to(len * 2);
            let entries = &self.entries;
            self.index.shrink_to(len * 2, |&at| entries.get(usize::from(at)).map_or(0, &hash_of));
        }
    }
}
