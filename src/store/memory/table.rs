//! The entries of one store: extendible hashing, so that no operation ever moves more than one
//! small partition.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use super::entry::{Entry, EntryMut, IntoSlot, Moved};
use super::partition::Partition;

/// A partition with so many entries is split before it gets another: what an index of 1,024 buckets
/// holds.
const SPLIT: usize = 896;
/// Two partitions with together so many entries become one.
const MERGE: usize = SPLIT / 4;
/// The directory has at most one slot for so many entries (16 slots are always allowed). Hashes
/// that spread evenly need one for 400 to 800; keys that somebody chose to collide make a partition
/// long, not the directory.
const ENTRIES_PER_SLOT: usize = 32;

/// A hash table in partitions.
///
/// `order` is an entry's hash without its top seven bits, which are hashbrown's tags, moved to the
/// top. A directory of `2^depth` slots says which partition holds the orders that begin with a
/// slot's bits; hashbrown's bucket numbers come from the low bits. So splitting takes nothing from
/// the quality of either, and partitions lie in the directory in the order of `order`.
pub(super) struct Table<S = RandomState> {
    hasher: S,
    directory: Vec<u32>,
    depth: u32,
    partitions: Vec<Partition>,
    /// How many partitions use all `depth` bits; without any, half of the directory will do.
    deepest: usize,
    len: usize,
}

/// Where an entry is, until something is put in or taken out.
#[derive(Clone, Copy)]
pub(super) struct Place {
    partition: usize,
    at: u16,
}

impl<S: BuildHasher> Table<S> {
    pub(super) fn new(hasher: S) -> Self {
        Self { hasher, directory: Vec::new(), depth: 0, partitions: Vec::new(), deepest: 0, len: 0 }
    }

    /// One with the same hashes and no entries.
    pub(super) fn empty(&self) -> Self
    where
        S: Clone,
    {
        Self::new(self.hasher.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The order of a key in listings, that of equals being the order of their bytes.
    pub(super) fn order_of(&self, key: &[u8]) -> u64 {
        order(hash(&self.hasher, key))
    }

    pub(super) fn find(&self, hash: u64, is_it: impl Fn(Entry<'_>) -> bool) -> Option<Entry<'_>> {
        self.get(self.locate(hash, is_it)?)
    }

    /// Where an entry is.
    pub(super) fn locate(&self, hash: u64, is_it: impl Fn(Entry<'_>) -> bool) -> Option<Place> {
        let partition = self.id(hash)?;
        let at = self.partitions.get(partition)?.position(hash, is_it)?;
        Some(Place { partition, at })
    }

    pub(super) fn get(&self, place: Place) -> Option<Entry<'_>> {
        self.partitions.get(place.partition)?.get(place.at)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<EntryMut<'_>> {
        self.partitions.get_mut(place.partition)?.get_mut(place.at)
    }

    /// Brings what searches for these hashes will read into the processor's caches. Each pass reads
    /// what the one before found, and its reads do not wait for each other, as they do with the
    /// work of an operation between them.
    pub(super) fn warm(&self, hashes: &[u64]) {
        let mut found = Vec::with_capacity(hashes.len());
        found.extend(hashes.iter().filter_map(|hash| Some((*hash, self.partition(*hash)?))));
        std::hint::black_box(
            found.iter().map(|(_, partition)| partition.len()).fold(0, usize::wrapping_add),
        );
        let mut positions = Vec::with_capacity(found.len());
        positions.extend(
            found
                .iter()
                .filter_map(|(hash, partition)| Some((*partition, partition.likely(*hash)?))),
        );
        let mut entries = Vec::with_capacity(positions.len());
        entries.extend(positions.iter().filter_map(|(partition, at)| partition.get(*at)));
        std::hint::black_box(entries.into_iter().map(Entry::warm).fold(0, u64::wrapping_add));
    }

    /// Whether one more entry of this hash can be put in. It always can, unless somebody found
    /// thousands of keys that collide.
    pub(super) fn has_room(&self, hash: u64) -> bool {
        self.partition(hash).is_none_or(Partition::has_room)
    }

    /// Puts in an entry whose key is not there yet. [`has_room`](Self::has_room) must hold.
    pub(super) fn insert(&mut self, hash: u64, entry: impl IntoSlot) {
        debug_assert!(self.has_room(hash), "the caller asked for room");
        if self.partitions.is_empty() {
            self.partitions.push(Partition::default());
            self.directory.push(0);
            self.deepest = 1;
        }
        if self.partition(hash).is_some_and(|partition| partition.len() >= SPLIT) {
            self.split(hash);
        }
        let Some(id) = self.id(hash) else { return };
        let hasher = &self.hasher;
        if let Some(partition) = self.partitions.get_mut(id)
            && partition.insert(hash, entry, |entry| self::hash(hasher, entry.key()))
        {
            self.len += 1;
        }
    }

    /// Puts an entry of the same key in the place of one that is there, which it gives.
    /// [`has_room`](Self::has_room) must hold.
    pub(super) fn replace(
        &mut self,
        hash: u64,
        is_it: impl Fn(Entry<'_>) -> bool,
        entry: impl IntoSlot,
    ) -> Option<Moved<'static>> {
        let id = self.id(hash)?;
        let hasher = &self.hasher;
        self.partitions
            .get_mut(id)?
            .replace(hash, is_it, entry, |entry| self::hash(hasher, entry.key()))
    }

    /// Takes out the entry of this hash for which `is_it` holds.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(Entry<'_>) -> bool,
    ) -> Option<Moved<'static>> {
        let id = self.id(hash)?;
        let hasher = &self.hasher;
        let partition = self.partitions.get_mut(id)?;
        let entry = partition.remove(hash, is_it, |entry| self::hash(hasher, entry.key()))?;
        self.len -= 1;
        while self.partition(hash).is_some_and(|partition| partition.len() <= MERGE)
            && self.merge(hash)
        {}
        Some(entry)
    }

    /// The partitions in the order of listings, from the one on that holds `order`.
    pub(super) fn partitions_from(&self, order: u64) -> impl Iterator<Item = &Partition> {
        let mut slot = self.slot(order);
        std::iter::from_fn(move || {
            let partition = self.partitions.get(*self.directory.get(slot)? as usize)?;
            // From the partition's own first slot, which `order` need not lead to.
            slot = self.slot(partition.start) + (1 << (self.depth - partition.depth));
            Some(partition)
        })
    }

    /// Frees some entries of a table that nobody uses any more, and tells how many; 0: there are no
    /// more.
    pub(super) fn crumble(&mut self) -> usize {
        let freed = self.partitions.pop().map_or(0, |partition| partition.len().max(1));
        self.directory = Vec::new();
        freed
    }

    fn slot(&self, order: u64) -> usize {
        // Shifting by all 64 bits, at depth 0, is no shift at all.
        order.checked_shr(u64::BITS - self.depth).map_or(0, |slot| slot as usize)
    }

    fn id(&self, hash: u64) -> Option<usize> {
        self.directory.get(self.slot(order(hash))).map(|id| *id as usize)
    }

    fn partition(&self, hash: u64) -> Option<&Partition> {
        self.partitions.get(self.id(hash)?)
    }

    /// Makes two of the partition that holds this hash, unless the directory would grow out of all
    /// proportion.
    fn split(&mut self, hash: u64) {
        let Some(id) = self.id(hash) else { return };
        let Some(depth) = self.partitions.get(id).map(|partition| partition.depth) else { return };
        if depth == self.depth && !self.double() {
            return;
        }
        let Some(low) = self.partitions.get_mut(id) else { return };
        let bit = 1 << (u64::BITS - 1 - depth);
        let (start, len) = (low.start, low.len());
        let room = len / 2 + len / 16;
        let mut high = Partition::new(depth + 1, start | bit, room);
        let entries = std::mem::replace(low, Partition::new(depth + 1, start, room)).take();
        entries.empty_into(|entry| {
            let hash = self::hash(&self.hasher, entry.as_ref().key());
            let half = if order(hash) & bit == 0 { &mut *low } else { &mut high };
            half.insert(hash, entry, |entry| self::hash(&self.hasher, entry.key()));
        });
        if depth + 1 == self.depth {
            self.deepest += 2;
        }
        self.partitions.push(high);
        self.point(self.partitions.len() - 1);
    }

    fn double(&mut self) -> bool {
        let slots = self.directory.len() * 2;
        if slots > 16.max(self.len / ENTRIES_PER_SLOT) {
            return false;
        }
        self.directory = self.directory.iter().flat_map(|id| [*id, *id]).collect();
        self.depth += 1;
        self.deepest = 0;
        true
    }

    /// Makes one of the partition that holds this hash and its other half, if both are small; tells
    /// whether it did.
    fn merge(&mut self, hash: u64) -> bool {
        let Some(one) = self.partition(hash) else { return false };
        let (depth, len) = (one.depth, one.len());
        let Some(bit) = 1_u64.checked_shl(u64::BITS - depth) else { return false };
        let (low, high) = (one.start & !bit, one.start | bit);
        let other = if one.start == low { high } else { low };
        let at = |start: u64| self.directory.get(self.slot(start)).map(|id| *id as usize);
        let (Some(low), Some(high), Some(other)) = (at(low), at(high), at(other)) else {
            return false;
        };
        if self
            .partitions
            .get(other)
            .is_none_or(|other| other.depth != depth || other.len() + len > MERGE)
        {
            return false;
        }

        let entries = self.partitions.get_mut(high).map(Partition::take).unwrap_or_default();
        if let Some(merged) = self.partitions.get_mut(low) {
            entries.empty_into(|entry| {
                let hash = self::hash(&self.hasher, entry.as_ref().key());
                merged.insert(hash, entry, |entry| self::hash(&self.hasher, entry.key()));
            });
            merged.depth = depth - 1;
        }
        self.point(low);
        self.partitions.swap_remove(high);
        if high < self.partitions.len() {
            self.point(high);
        }
        if depth == self.depth {
            self.deepest -= 2;
            self.halve();
        }
        true
    }

    fn halve(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            self.deepest =
                self.partitions.iter().filter(|partition| partition.depth == self.depth).count();
        }
    }

    /// Makes the slots of a partition's orders lead to it.
    fn point(&mut self, id: usize) {
        let Some(partition) = self.partitions.get(id) else { return };
        let first = self.slot(partition.start);
        let slots = 1 << (self.depth - partition.depth);
        // There are fewer partitions than slots, and at most one slot for every 32 entries.
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        for slot in self.directory.iter_mut().skip(first).take(slots) {
            *slot = id;
        }
    }
}

/// The hash of a key.
pub(super) fn hash(hasher: &impl BuildHasher, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// A hash without its top seven bits.
fn order(hash: u64) -> u64 {
    hash << 7
}

#[cfg(test)]
mod tests;
