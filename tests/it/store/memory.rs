//! Memory engine only: memory is returned by deletes, by expiry, and when a store is dropped.

use kvrpc::model::UnixMillis;
use kvrpc::store::{Backend, MemoryEngine, MemoryStore, Once, Store, Usage};

use super::{
    Engine, NO_LIMITS, START, Step, Tested, Write, batch, delete, get, key, list, ms, once, put,
    put_once, removal, revision, write, write_until,
};

const NOTHING: Usage = Usage { keys: 0, bytes: 0, request_id_bytes: 0 };

fn fill(store: &MemoryStore, keys: usize, expire_time: Option<u64>) {
    for from in (0..keys).step_by(1_000) {
        let steps = (from..keys.min(from + 1_000)).map(|number| {
            let mut write = write(&format!("key {number}"), "value");
            write.expire_time = expire_time.map(UnixMillis::new);
            Step::Put(write)
        });
        batch(store, steps.collect()).unwrap();
    }
}

/// Sweeps until nothing is left to do, at most `most` times.
fn sweep(engine: &MemoryEngine, most: usize) -> usize {
    (1..=most).find(|_| !engine.sweep()).expect("the sweep comes to an end")
}

#[test]
fn a_listing_of_a_rare_prefix_comes_back_between_two_keys() {
    let (engine, _) = MemoryEngine::make(NO_LIMITS);
    let store = engine.open();
    for chunk in (0..40_000).collect::<Vec<_>>().chunks(1_000) {
        let steps = chunk.iter().map(|number| Step::Put(write(&format!("key {number}"), "")));
        batch(&store, steps.collect()).unwrap();
    }
    let pages = list(&store, "key 123", 1_000, usize::MAX);
    assert!(
        (4..=5).contains(&pages.len()),
        "{} calls for 40,000 keys, about 10,000 each",
        pages.len()
    );
    assert_eq!(pages.concat().len(), 111);
}

#[test]
fn the_backend_is_the_engine_it_holds() {
    let (engine, _) = MemoryEngine::make(NO_LIMITS);
    let (store, other): (MemoryStore, Backend) = (engine.open(), Backend::Memory(engine.open()));
    let backend = Backend::Memory(store.clone());
    let request = || {
        let id = once(&store, "id", 0).unwrap().id;
        Some(Once { caller: &backend, id, fingerprint: [0; 16] })
    };
    let put_it =
        |write: Write| MemoryStore::now(other.put(write.to_ref(), request())).unwrap().revision;
    assert_eq!((put_it(write("k", "v")), put_it(write("k", "v"))), (1, 1));
    assert!(store.usage().request_id_bytes > 0, "the id is the caller's");
    assert_eq!(
        MemoryStore::now(other.get(&key("k"))).unwrap().map(|entry| entry.revision),
        Some(1)
    );
    assert_eq!(MemoryStore::now(other.delete(removal("k"), None)).unwrap().revision, 2);
    let position = MemoryStore::now(other.position()).unwrap();
    assert_eq!(position.sequence, 2);
    assert_ne!(
        position.epoch,
        MemoryStore::now(backend.position()).unwrap().epoch,
        "each store has an epoch of its own"
    );
}

#[test]
fn deletes_give_everything_back() {
    let (engine, _) = MemoryEngine::make(NO_LIMITS);
    let store = engine.open();
    fill(&store, 5_000, None);
    assert_eq!(engine.usage().keys, 5_000);
    for number in 0..5_000 {
        assert!(delete(&store, removal(&format!("key {number}"))).unwrap().0);
    }
    assert_eq!((store.usage(), engine.usage()), (NOTHING, NOTHING));
}

#[test]
fn a_sweep_takes_out_what_expired_in_any_store_a_part_at_a_time() {
    let (engine, clock) = MemoryEngine::make(NO_LIMITS);
    let stores: Vec<MemoryStore> = (0..300).map(|_| engine.open()).collect();
    fill(&stores[0], 20_000, Some(START + 10));
    for (number, store) in stores.iter().enumerate() {
        let number = number as u64;
        put(store, write_until("k", "v", START + 10 + number % 2)).unwrap();
        put(store, write("stays", "v")).unwrap();
        // A later expiry must not replace the earlier one.
        put(store, write_until("later", "v", START + 1_000)).unwrap();
    }
    assert!(!engine.sweep(), "nothing is due");
    assert_eq!(engine.usage().keys, 20_900);

    clock.advance(ms(10));
    assert!(engine.sweep(), "20,150 keys are too many for one sweep");
    let left = engine.usage().keys;
    assert!((10_000..20_750).contains(&left), "{left} keys after one sweep");
    assert!(sweep(&engine, 10) > 2);
    assert_eq!(engine.usage().keys, 600 + 150);
    clock.advance(ms(1));
    sweep(&engine, 10);
    assert_eq!(engine.usage().keys, 600, "those that were due 1 ms later");
    clock.advance(ms(1_000));
    sweep(&engine, 10);
    assert_eq!(engine.usage().keys, 300, "those that were due much later");
    assert_eq!(
        (revision(&stores[1]), stores[1].usage().keys),
        (5, 1),
        "three puts and two expiries"
    );
}

#[test]
fn an_earlier_expiry_is_swept_in_time() {
    let (engine, clock) = MemoryEngine::make(NO_LIMITS);
    let store = engine.open();
    for after in [50, 40, 60, 30] {
        put(&store, write_until(&format!("{after}"), "v", START + after)).unwrap();
    }
    // The key for which the next expiry was scheduled is replaced by one without expiry.
    put(&store, write("30", "v")).unwrap();
    for (advance, left) in [(30, 4), (10, 3), (10, 2), (10, 1)] {
        clock.advance(ms(advance));
        assert!(!engine.sweep());
        assert_eq!(engine.usage().keys, left, "at {}", clock.now().as_u64() - START);
    }
}

#[test]
fn request_ids_are_swept_after_five_minutes() {
    let (engine, clock) = MemoryEngine::make(NO_LIMITS);
    let (store, caller) = (engine.open(), engine.open());
    put_once(&store, write("k", "v"), once(&caller, "one", 0)).unwrap();
    clock.advance(ms(1_000));
    put_once(&store, write("k", "v"), once(&caller, "two", 0)).unwrap();
    let both = engine.usage().request_id_bytes;
    assert_eq!(both, caller.usage().request_id_bytes);
    clock.advance(ms(299_000));
    sweep(&engine, 1);
    assert_eq!(engine.usage().request_id_bytes, both / 2);
    clock.advance(ms(1_000));
    sweep(&engine, 1);
    assert_eq!(engine.usage().request_id_bytes, 0);
    assert_eq!(engine.usage(), store.usage());
}

#[test]
fn the_last_clone_of_a_store_gives_everything_back() {
    let (engine, clock) = MemoryEngine::make(NO_LIMITS);
    for keys in [10, 30_000] {
        let store = engine.open();
        fill(&store, keys, Some(START + 1_000_000));
        put_once(&store, write("k", "v"), once(&store, "id", 0)).unwrap();
        let clone = store.clone();
        drop(store);
        assert_eq!(engine.usage().keys, keys as u64 + 1);
        assert!(get(&clone, "k").is_some());
        drop(clone);
        assert_eq!(engine.usage(), NOTHING);
    }
    assert!(sweep(&engine, 100) > 4, "30,000 entries are freed in parts");
    clock.advance(ms(2_000_000));
    assert!(!engine.sweep(), "the stores that are gone are not visited");
    let store = engine.open();
    assert_eq!(
        (list(&store, "", 10, 10).concat(), revision(&store)),
        (vec![], 0),
        "a new store is empty"
    );
}
