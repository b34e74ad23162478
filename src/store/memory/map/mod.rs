//! A hash map of one store's keys that keeps them densely in memory and never stops to rehash.
//!
//! ```text
//!   directory         partitions           index of a partition    slab of a partition
//!  (first bits)                           (last bits and tag)     (chunks of equal slots)
//!   +------+         +-------------+       +-------------+         +---------------------+
//!   |  00  |-------->| partition 0 |------>| bucket: u16 |-------->| 128 B: slot slot .. |
//!   |  01  |----+    +-------------+       | bucket: u16 |         | 144 B: slot ..      |
//!   |  10  |----+--->| partition 1 |       | ..          |         | ..                  |
//!   |  ..  |         | ..          |       +-------------+         +---------------------+
//!   +------+         +-------------+
//!                    slot: flags, key length, revision, expiry if any, key, value
//! ```
//!
//! - The **directory** leads from the first bits of a key's *order* to a partition (extendible
//!   hashing). A partition that is full is split in two; two that are nearly empty are merged. No
//!   operation moves more than one partition.
//! - A **partition** has up to 896 keys: an index from hash to position, and a slab.
//! - The **slab** keeps the slots, equally long ones side by side in chunks of 2 KiB.
//! - The **slot** is a key with all that it holds, as bytes.
//!
//! Callers pass each key's [`hash`], so that it can be computed before a lock is taken. A slot is
//! identified by its key, or by its revision, which no other slot has.

mod partition;
mod slab;
mod slot;

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use partition::Partition;
pub(crate) use slot::{IntoSlot, MAX_SHARED, MapSlot, MapSlotMut, OwnedSlot, to_key};

/// Number of slots at which a partition is split before it gets another: the room of an index of
/// 1,024 buckets.
const SPLIT: usize = 896;
/// Maximum number of slots of two partitions that are merged.
const MERGE: usize = SPLIT / 4;
/// Minimum number of keys for each row of the directory (16 rows are always allowed). Evenly spread
/// hashes need a row for 400 to 800 keys; keys that somebody chose to collide make a partition
/// long, not the directory.
const KEYS_PER_ROW: usize = 32;

/// Hash map in partitions.
///
/// The *order* of a key is its hash without the top seven bits, which are hashbrown's tags, moved
/// to the top. A directory of `2^depth` rows leads from the first `depth` bits of an order to its
/// partition; hashbrown takes its bucket numbers from the low bits. So splitting costs neither of
/// them quality, and partitions lie in the directory in the order of `order`.
pub(crate) struct SlotMap<S = RandomState> {
    hasher: S,
    /// Indices into `partitions`.
    directory: Vec<u32>,
    depth: u32,
    partitions: Vec<Partition>,
    /// Number of partitions that use all `depth` bits; without any, half of the directory will do.
    deepest: usize,
    len: usize,
}

/// Location of a slot. It holds until the next insertion or removal.
#[derive(Clone, Copy)]
pub(crate) struct Location {
    partition: usize,
    at: u16,
}

impl<S: BuildHasher> SlotMap<S> {
    pub(crate) fn new(hasher: S) -> Self {
        Self { hasher, directory: Vec::new(), depth: 0, partitions: Vec::new(), deepest: 0, len: 0 }
    }

    /// Makes an empty map with the same hashes.
    pub(crate) fn empty(&self) -> Self
    where
        S: Clone,
    {
        Self::new(self.hasher.clone())
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Place of a key in listings; keys of the same order are listed by their bytes.
    pub(crate) fn order_of(&self, key: &[u8]) -> u64 {
        order(hash(&self.hasher, key))
    }

    /// Finds the slot of a key.
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<MapSlot<'_>> {
        self.get(self.locate(hash, key)?)
    }

    /// Finds the slot of a revision.
    pub(crate) fn find_revision(&self, hash: u64, revision: u64) -> Option<MapSlot<'_>> {
        self.get(self.locate_revision(hash, revision)?)
    }

    /// Locates the slot of a key.
    pub(crate) fn locate(&self, hash: u64, key: &[u8]) -> Option<Location> {
        self.locate_by(hash, |slot| slot.key() == key)
    }

    /// Locates the slot of a revision.
    pub(crate) fn locate_revision(&self, hash: u64, revision: u64) -> Option<Location> {
        self.locate_by(hash, |slot| slot.revision() == revision)
    }

    fn locate_by(&self, hash: u64, is_it: impl Fn(MapSlot<'_>) -> bool) -> Option<Location> {
        let partition = self.id(hash)?;
        let at = self.partitions.get(partition)?.position(hash, is_it)?;
        Some(Location { partition, at })
    }

    pub(crate) fn get(&self, location: Location) -> Option<MapSlot<'_>> {
        self.partitions.get(location.partition)?.get(location.at)
    }

    pub(crate) fn get_mut(&mut self, location: Location) -> Option<MapSlotMut<'_>> {
        self.partitions.get_mut(location.partition)?.get_mut(location.at)
    }

    /// Brings the memory that searches for these hashes read into the processor's caches. Each pass
    /// reads what the one before found, and its reads do not wait for each other, as they do with
    /// the work of an operation between them.
    pub(crate) fn warm(&self, hashes: &[u64]) {
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
        let mut slots = Vec::with_capacity(positions.len());
        slots.extend(positions.iter().filter_map(|(partition, at)| partition.get(*at)));
        std::hint::black_box(slots.into_iter().map(MapSlot::warm).fold(0, u64::wrapping_add));
    }

    /// Returns true if one more key of this hash can be inserted. It always can, unless somebody
    /// found thousands of keys that collide.
    pub(crate) fn has_room(&self, hash: u64) -> bool {
        self.partition(hash).is_none_or(Partition::has_room)
    }

    /// Inserts a slot whose key is not in the map. [`has_room`](Self::has_room) must hold.
    pub(crate) fn insert(&mut self, hash: u64, slot: impl IntoSlot) {
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
            && partition.insert(hash, slot, |slot| self::hash(hasher, slot.key()))
        {
            self.len += 1;
        }
    }

    /// Replaces the slot of this revision by another of the same key and returns the old one.
    /// [`has_room`](Self::has_room) must hold.
    pub(crate) fn replace(
        &mut self,
        hash: u64,
        revision: u64,
        slot: impl IntoSlot,
    ) -> Option<OwnedSlot<'static>> {
        let id = self.id(hash)?;
        let hasher = &self.hasher;
        let is_it = |slot: MapSlot<'_>| slot.revision() == revision;
        let hash_of = |slot: MapSlot<'_>| self::hash(hasher, slot.key());
        self.partitions.get_mut(id)?.replace(hash, is_it, slot, hash_of)
    }

    /// Removes the slot of this revision and returns it.
    pub(crate) fn remove(&mut self, hash: u64, revision: u64) -> Option<OwnedSlot<'static>> {
        let id = self.id(hash)?;
        let hasher = &self.hasher;
        let is_it = |slot: MapSlot<'_>| slot.revision() == revision;
        let hash_of = |slot: MapSlot<'_>| self::hash(hasher, slot.key());
        let slot = self.partitions.get_mut(id)?.remove(hash, is_it, hash_of)?;
        self.len -= 1;
        while self.partition(hash).is_some_and(|partition| partition.len() <= MERGE)
            && self.merge(hash)
        {}
        Some(slot)
    }

    /// Iterates over the partitions in the order of listings, from the one that holds `order`.
    pub(crate) fn partitions_from(&self, order: u64) -> impl Iterator<Item = &Partition> {
        let mut row = self.row(order);
        std::iter::from_fn(move || {
            let partition = self.partitions.get(*self.directory.get(row)? as usize)?;
            // From the partition's own first row, which `order` need not lead to.
            row = self.row(partition.start) + (1 << (self.depth - partition.depth));
            Some(partition)
        })
    }

    /// Frees one partition of a map that is no longer used. Returns how many slots that were (at
    /// least 1); 0: the map is empty.
    pub(crate) fn free_incrementally(&mut self) -> usize {
        let freed = self.partitions.pop().map_or(0, |partition| partition.len().max(1));
        self.directory = Vec::new();
        freed
    }

    /// Row of the directory for an order.
    fn row(&self, order: u64) -> usize {
        // A shift by all 64 bits, at depth 0, is not defined.
        order.checked_shr(u64::BITS - self.depth).map_or(0, |row| row as usize)
    }

    fn id(&self, hash: u64) -> Option<usize> {
        self.directory.get(self.row(order(hash))).map(|id| *id as usize)
    }

    fn partition(&self, hash: u64) -> Option<&Partition> {
        self.partitions.get(self.id(hash)?)
    }

    /// Splits the partition that holds this hash, unless the directory would grow out of
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
        let slots = std::mem::replace(low, Partition::new(depth + 1, start, room)).take();
        slots.empty_into(|slot| {
            let hash = self::hash(&self.hasher, slot.as_ref().key());
            let half = if order(hash) & bit == 0 { &mut *low } else { &mut high };
            half.insert(hash, slot, |slot| self::hash(&self.hasher, slot.key()));
        });
        if depth + 1 == self.depth {
            self.deepest += 2;
        }
        self.partitions.push(high);
        self.point(self.partitions.len() - 1);
    }

    /// Doubles the directory; returns false if it would have too few keys for its rows.
    fn double(&mut self) -> bool {
        let rows = self.directory.len() * 2;
        if rows > 16.max(self.len / KEYS_PER_ROW) {
            return false;
        }
        self.directory = self.directory.iter().flat_map(|id| [*id, *id]).collect();
        self.depth += 1;
        self.deepest = 0;
        true
    }

    /// Merges the partition that holds this hash with its other half, if both are small. Returns
    /// true if it did.
    fn merge(&mut self, hash: u64) -> bool {
        let Some(one) = self.partition(hash) else { return false };
        let (depth, len) = (one.depth, one.len());
        let Some(bit) = 1_u64.checked_shl(u64::BITS - depth) else { return false };
        let (low, high) = (one.start & !bit, one.start | bit);
        let other = if one.start == low { high } else { low };
        let at = |start: u64| self.directory.get(self.row(start)).map(|id| *id as usize);
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

        let slots = self.partitions.get_mut(high).map(Partition::take).unwrap_or_default();
        if let Some(merged) = self.partitions.get_mut(low) {
            slots.empty_into(|slot| {
                let hash = self::hash(&self.hasher, slot.as_ref().key());
                merged.insert(hash, slot, |slot| self::hash(&self.hasher, slot.key()));
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

    /// Halves the directory as often as no partition needs all of its bits.
    fn halve(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            self.deepest =
                self.partitions.iter().filter(|partition| partition.depth == self.depth).count();
        }
    }

    /// Makes the rows of a partition's orders lead to it.
    fn point(&mut self, id: usize) {
        let Some(partition) = self.partitions.get(id) else { return };
        let first = self.row(partition.start);
        let rows = 1 << (self.depth - partition.depth);
        // There are fewer partitions than rows, and at most one row for every 32 keys.
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        for row in self.directory.iter_mut().skip(first).take(rows) {
            *row = id;
        }
    }
}

/// Hash of a key.
pub(crate) fn hash(hasher: &impl BuildHasher, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Hash without its top seven bits, moved to the top.
fn order(hash: u64) -> u64 {
    hash << 7
}

#[cfg(test)]
mod tests;
