//! Tests of the map: against `HashMap`, and of its structure through splits and merges.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::model::{PutRef, UnixMillis};

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

fn put<'a>(key: &'a str, value: &'a [u8]) -> PutRef<'a> {
    PutRef { key: key.as_bytes(), value, text: true, ..PutRef::default() }
}

/// Step of the comparison with `HashMap`; keys are numbers.
#[derive(Clone, Debug)]
enum Step {
    Put {
        key: usize,
        value: Vec<u8>,
        expire_time: Option<u64>,
    },
    Remove {
        key: usize,
    },
    /// Removes a slot and puts it back, as a batch that fails does.
    RemoveAndRestore {
        key: usize,
    },
    /// Inserts or removes many keys, so that partitions split and merge.
    Fill {
        keys: usize,
    },
    Drain {
        keep: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..3_000_usize;
    let value = (any::<u8>(), prop::sample::select(vec![0, 1, 20, 100, 600]));
    let expiry = proptest::option::of(1..9_u64);
    let step = prop_oneof![
        8 => (key(), value, expiry).prop_map(|(key, (byte, len), expire_time)| {
            Step::Put { key, value: vec![byte; len], expire_time }
        }),
        4 => key().prop_map(|key| Step::Remove { key }),
        2 => key().prop_map(|key| Step::RemoveAndRestore { key }),
        1 => key().prop_map(|keys| Step::Fill { keys }),
        1 => key().prop_map(|keep| Step::Drain { keep }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Map under test beside its model: key → (value, revision, expiry).
struct Compared {
    map: SlotMap,
    model: HashMap<String, (Vec<u8>, u64, Option<UnixMillis>)>,
    revision: u64,
}

impl Compared {
    fn put(&mut self, key: String, value: &[u8], expire_time: Option<u64>) {
        self.revision += 1;
        let expire_time = expire_time.map(UnixMillis::new);
        let put = PutRef { expire_time, ..put(&key, value) };
        let hash = hash(&self.map.hasher, key.as_bytes());
        match self.map.locate(hash, key.as_bytes()) {
            None => self.map.insert(hash, (&put, self.revision)),
            Some(location) => {
                let old = self.map.get(location).unwrap();
                let (old_revision, fits) = (old.revision(), old.has_room_for(&put));
                if fits {
                    self.map.get_mut(location).unwrap().overwrite(&put, self.revision);
                } else {
                    let old = self.map.replace(hash, old_revision, (&put, self.revision)).unwrap();
                    assert_eq!(old.as_ref().revision(), old_revision);
                }
            }
        }
        self.model.insert(key, (value.to_vec(), self.revision, expire_time));
    }

    fn remove(&mut self, key: &str) -> Option<OwnedSlot<'static>> {
        let hash = hash(&self.map.hasher, key.as_bytes());
        let revision = self.map.find(hash, key.as_bytes()).map(MapSlot::revision);
        let expected = self.model.remove(key);
        assert_eq!(revision, expected.map(|(_, revision, _)| revision), "{key}");
        let removed = self.map.remove(hash, revision?).unwrap();
        assert_eq!(removed.as_ref().key(), key.as_bytes());
        Some(removed)
    }

    fn run(&mut self, step: Step) {
        let name = |key: usize| format!("key {key}");
        match step {
            Step::Put { key, value, expire_time } => self.put(name(key), &value, expire_time),
            Step::Remove { key } => drop(self.remove(&name(key))),
            Step::RemoveAndRestore { key } => {
                let key = name(key);
                let known = self.model.get(&key).cloned();
                if let Some(slot) = self.remove(&key) {
                    self.map.insert(hash(&self.map.hasher, key.as_bytes()), slot);
                    self.model.insert(key, known.unwrap());
                }
            }
            Step::Fill { keys } => (0..keys).for_each(|key| self.put(name(key), b"filled", None)),
            Step::Drain { keep } => (keep..3_000).for_each(|key| drop(self.remove(&name(key)))),
        }
    }

    fn check(&self) {
        assert_eq!(self.map.len(), self.model.len());
        for (key, (value, revision, expire_time)) in &self.model {
            let hash = hash(&self.map.hasher, key.as_bytes());
            let slot = self.map.find(hash, key.as_bytes()).unwrap();
            assert_eq!((slot.value(), slot.revision()), (value.as_slice(), *revision), "{key}");
            assert_eq!(slot.expire_time(), *expire_time, "{key}");
            let again = self.map.find_revision(hash, *revision).unwrap();
            assert_eq!(again.key(), key.as_bytes());
        }
        let listed = self.map.partitions_from(0).flat_map(Partition::slots);
        let listed: Vec<_> = listed.map(|slot| slot.key().to_vec()).collect();
        assert_eq!(listed.len(), self.model.len());
        let model: BTreeSet<_> = self.model.keys().map(|key| key.clone().into_bytes()).collect();
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), model);
        let absent = hash(&self.map.hasher, b"absent");
        assert!(self.map.find(absent, b"absent").is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_map_holds_what_a_hash_map_holds(steps in steps()) {
        let map = SlotMap::new(RandomState::default());
        let mut compared = Compared { map, model: HashMap::new(), revision: 0 };
        for step in steps {
            compared.run(step);
        }
        compared.check();
    }
}

/// Checks that every row leads to a partition of its bits, and that the partitions, in their order,
/// hold the expected slots.
fn check<S: BuildHasher>(map: &SlotMap<S>, model: &BTreeMap<String, u64>) {
    assert_eq!(map.len(), model.len());
    assert_eq!(map.directory.len(), if map.partitions.is_empty() { 0 } else { 1 << map.depth });
    let deepest = map.partitions.iter().filter(|partition| partition.depth == map.depth).count();
    assert_eq!(map.deepest, deepest, "partitions of the directory's depth");
    let mut seen = 0;
    let mut last = None;
    for partition in map.partitions_from(0) {
        assert!(last < Some(partition.start), "partitions in order");
        last = Some(partition.start);
        for slot in partition.slots() {
            let order = map.order_of(slot.key());
            assert_eq!(
                order.checked_shr(64 - partition.depth),
                partition.start.checked_shr(64 - partition.depth)
            );
            let key = std::str::from_utf8(slot.key()).unwrap();
            assert_eq!(model.get(key), Some(&slot.revision()), "{key}");
            let found = map.find(hash(&map.hasher, key.as_bytes()), key.as_bytes());
            assert_eq!(found.map(MapSlot::revision), Some(slot.revision()), "{key} is found");
            seen += 1;
        }
    }
    assert_eq!(seen, model.len(), "slots in partitions");
    assert_eq!(map.partitions_from(0).count(), map.partitions.len());
}

fn fill<S: BuildHasher>(map: &mut SlotMap<S>, keys: usize) -> BTreeMap<String, u64> {
    let mut model = BTreeMap::new();
    for number in 0..keys {
        let key = format!("key {number}");
        map.insert(hash(&map.hasher, key.as_bytes()), (&put(&key, b"v"), number as u64));
        model.insert(key, number as u64);
    }
    model
}

fn remove<S: BuildHasher>(map: &mut SlotMap<S>, model: &mut BTreeMap<String, u64>, key: &str) {
    let revision = model.remove(key).unwrap();
    let removed = map.remove(hash(&map.hasher, key.as_bytes()), revision).unwrap();
    assert_eq!(removed.as_ref().key(), key.as_bytes());
}

#[test]
fn a_map_splits_as_it_grows_and_merges_as_it_shrinks() {
    let mut map = SlotMap::new(RandomState::default());
    let mut model = fill(&mut map, 30_000);
    check(&map, &model);
    assert!((34..=128).contains(&map.partitions.len()), "{} partitions", map.partitions.len());
    assert!(map.partitions.iter().all(|partition| partition.len() <= SPLIT));

    let mut numbers = 0..30_000;
    for left in [10_000, 3_000, 100, 0] {
        for number in numbers.by_ref().take(model.len() - left) {
            // 7 and 30,000 have no divisor in common: each number comes once, but not in order.
            remove(&mut map, &mut model, &format!("key {}", number * 7 % 30_000));
        }
        check(&map, &model);
    }
    assert_eq!((map.partitions.len(), map.directory.len(), map.depth), (1, 1, 0));
    let capacity = map.partitions.first().map(|partition| partition.capacity());
    assert!(capacity < Some(32), "room for {capacity:?} slots is left");
}

#[test]
fn keys_that_collide_do_not_grow_the_directory() {
    let mut map = SlotMap::new(Colliding::default());
    let mut model = fill(&mut map, 5_000);
    check(&map, &model);
    assert_eq!(map.directory.len(), 128, "one row for 32 keys");
    for key in model.keys().cloned().collect::<Vec<_>>() {
        remove(&mut map, &mut model, &key);
    }
    check(&map, &model);
}

#[test]
fn a_partition_takes_no_more_than_its_index_can_count() {
    let mut map = SlotMap::new(Colliding::default());
    let mut keys = 0;
    while map.has_room(0) {
        map.insert(0, (&put(&format!("{keys:06}0"), b"v"), keys));
        keys += 1;
        assert!(keys <= 1 << 16, "there is a limit");
    }
    // 4,096 chunks of 16 slots, the last one begun.
    assert_eq!(keys, 65_521);
    assert_eq!(map.len() as u64, keys);
    assert!(map.has_room(1 << 40 | 1 << 56), "other hashes have room");
}
