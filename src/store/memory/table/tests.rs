//! Tests of the table: what splits and merges must not change.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use super::*;
use crate::model::PutRef;
use crate::store::memory::entry::NewEntry;

/// Gives every key the same order but for its last byte's lowest bit, as far as a directory can
/// reach.
#[derive(Clone, Default)]
struct Colliding(u64);

impl BuildHasher for Colliding {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Colliding {
    fn write(&mut self, bytes: &[u8]) {
        let low = bytes.iter().fold(0, |low: u64, byte| (low * 31 + u64::from(*byte)) & 0xffff);
        self.0 = bytes.last().map_or(0, |last| u64::from(last & 1) << 40) | low;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn entry(key: &str, revision: u64) -> Moved<'static> {
    let put = PutRef {
        key: key.as_bytes(),
        value: b"v",
        text: true,
        expiry: None,
        expire_time: None,
        if_revision: None,
    };
    let mut slot = Vec::new();
    NewEntry { write: &put, revision }.append_to(&mut slot);
    Moved::new(slot)
}

/// Checks that every slot leads to a partition of its bits, and that the partitions, in their
/// order, hold the expected entries.
fn check<S: BuildHasher>(table: &Table<S>, model: &BTreeMap<String, u64>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(
        table.directory.len(),
        if table.partitions.is_empty() { 0 } else { 1 << table.depth }
    );
    let deepest =
        table.partitions.iter().filter(|partition| partition.depth == table.depth).count();
    assert_eq!(table.deepest, deepest, "partitions of the directory's depth");
    let mut seen = 0;
    let mut last = None;
    for partition in table.partitions_from(0) {
        assert!(last < Some(partition.start), "partitions in order");
        last = Some(partition.start);
        for entry in partition.entries() {
            let order = table.order_of(entry.key());
            assert_eq!(
                order.checked_shr(64 - partition.depth),
                partition.start.checked_shr(64 - partition.depth)
            );
            let key = std::str::from_utf8(entry.key()).unwrap();
            assert_eq!(model.get(key), Some(&entry.revision()), "{key}");
            let found = table
                .find(hash(&table.hasher, key.as_bytes()), |entry| entry.key() == key.as_bytes());
            assert_eq!(found.map(Entry::revision), Some(entry.revision()), "{key} is found");
            seen += 1;
        }
    }
    assert_eq!(seen, model.len(), "entries in partitions");
    assert_eq!(table.partitions_from(0).count(), table.partitions.len());
}

fn fill<S: BuildHasher>(table: &mut Table<S>, keys: usize) -> BTreeMap<String, u64> {
    let mut model = BTreeMap::new();
    for number in 0..keys {
        let key = format!("key {number}");
        table.insert(hash(&table.hasher, key.as_bytes()), entry(&key, number as u64));
        model.insert(key, number as u64);
    }
    model
}

fn remove<S: BuildHasher>(table: &mut Table<S>, model: &mut BTreeMap<String, u64>, key: &str) {
    let hash = hash(&table.hasher, key.as_bytes());
    let removed = table.remove(hash, |entry| entry.key() == key.as_bytes());
    assert_eq!(removed.map(|entry| entry.as_ref().revision()), model.remove(key), "{key}");
}

#[test]
fn a_table_splits_as_it_grows_and_merges_as_it_shrinks() {
    let mut table = Table::new(RandomState::default());
    let mut model = fill(&mut table, 30_000);
    check(&table, &model);
    assert!((34..=128).contains(&table.partitions.len()), "{} partitions", table.partitions.len());
    assert!(table.partitions.iter().all(|partition| partition.len() <= SPLIT));

    let mut numbers = 0..30_000;
    for left in [10_000, 3_000, 100, 0] {
        for number in numbers.by_ref().take(model.len() - left) {
            // 7 and 30,000 have no divisor in common: each number comes once, but not in order.
            remove(&mut table, &mut model, &format!("key {}", number * 7 % 30_000));
        }
        check(&table, &model);
    }
    assert_eq!((table.partitions.len(), table.directory.len(), table.depth), (1, 1, 0));
    let capacity = table.partitions.first().map(|partition| partition.capacity());
    assert!(capacity < Some(32), "room for {capacity:?} entries is left");
}

#[test]
fn keys_that_collide_do_not_grow_the_directory() {
    let mut table = Table::new(Colliding::default());
    let mut model = fill(&mut table, 5_000);
    check(&table, &model);
    assert_eq!(table.directory.len(), 128, "one slot for 32 entries");
    for key in model.keys().cloned().collect::<Vec<_>>() {
        remove(&mut table, &mut model, &key);
    }
    check(&table, &model);
}

#[test]
fn a_partition_takes_no_more_than_its_index_can_count() {
    let mut table = Table::new(Colliding::default());
    let mut keys = 0;
    while table.has_room(0) {
        table.insert(0, entry(&format!("{keys:06}0"), keys));
        keys += 1;
        assert!(keys <= 1 << 16, "there is a limit");
    }
    // 4,096 chunks of 16 entries, the last one begun.
    assert_eq!(keys, 65_521);
    assert_eq!(table.len() as u64, keys);
    assert!(table.has_room(1 << 40 | 1 << 56), "other hashes have room");
}
