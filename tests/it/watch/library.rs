//! The change history of the memory engine, with a manual clock.

use std::time::Duration;

use futures_util::FutureExt as _;
use kvrpc::model::{Delete, Key, Position, Prefix, PutRef, UnixMillis};
use kvrpc::store::feed::FeedItem;
use kvrpc::store::{
    CHANGES_KEPT_FOR, Change, ChangeKind, Clock, MAX_CHANGE_BYTES, MemoryEngine, MemoryStore,
    Store, StoreLimits, Watched,
};

use crate::store::one_row;

const LIMITS: StoreLimits = StoreLimits {
    max_keys_per_user: 1 << 30,
    max_bytes_per_user: 1 << 40,
    max_bytes_total: 1 << 40,
};

fn engine() -> (MemoryEngine, Clock) {
    let clock = Clock::manual(UnixMillis::new(1_000_000));
    (MemoryEngine::new(clock.clone(), LIMITS), clock)
}

fn put(store: &MemoryStore, key: &str, value: Vec<u8>, expire_time: Option<UnixMillis>) {
    store
        .put(PutRef { key: key.as_bytes(), value: &value, expire_time, ..PutRef::default() }, None)
        .now_or_never()
        .unwrap()
        .unwrap();
}

fn watch(store: &MemoryStore, after: Option<Position>) -> Watched {
    store.watch(after).now_or_never().unwrap().unwrap()
}

fn list(store: &MemoryStore) -> Position {
    let prefix = Prefix::default();
    store.list(one_row(&prefix)).now_or_never().unwrap().unwrap().position
}

fn seen(watched: &mut Watched) -> Vec<String> {
    std::iter::from_fn(|| watched.follower.try_next())
        .map(|next| match next {
            FeedItem::Gap { to, .. } => format!("gap {to}"),
            FeedItem::Event(event) => format!("{} {}", event.sequence, in_words(&event.body)),
        })
        .collect()
}

fn in_words(change: &Change) -> String {
    match &change.kind {
        ChangeKind::Put { .. } => format!("put {}", change.key.as_str()),
        ChangeKind::Delete { expired } => format!("delete {} {expired}", change.key.as_str()),
    }
}

#[test]
fn a_store_that_nobody_lists_or_watches_keeps_no_changes() {
    let (engine, clock) = engine();
    let store = engine.open();
    put(&store, "a", vec![1], None);
    assert_eq!(engine.change_bytes(), 0);
    let position = list(&store);
    put(&store, "b", vec![1], None);
    assert!(engine.change_bytes() > 0);
    assert_eq!(seen(&mut watch(&store, Some(position))), ["2 put b"]);
    let millisecond = Duration::from_millis(1);
    clock.advance(CHANGES_KEPT_FOR - millisecond);
    engine.sweep();
    assert!(engine.change_bytes() > 0);
    clock.advance(millisecond);
    engine.sweep();
    assert_eq!(engine.change_bytes(), 0, "nobody came back");
    let mut late = watch(&store, Some(position));
    assert!(late.follower.skip_gap());
    put(&store, "c", vec![1], None);
    clock.advance(10 * CHANGES_KEPT_FOR);
    engine.sweep();
    assert_eq!(seen(&mut late), ["3 put c"], "who follows keeps them");
    drop((late, store));
    assert_eq!(engine.change_bytes(), 0);
}

#[test]
fn a_sweep_tells_of_expiries_and_a_passed_expiry_is_one() {
    let (engine, clock) = engine();
    let store = engine.open();
    let mut watched = watch(&store, None);
    put(&store, "a", vec![1], Some(clock.now().saturating_add(Duration::from_millis(5))));
    put(&store, "b", vec![1], Some(clock.now()));
    clock.advance(Duration::from_millis(5));
    assert_eq!(seen(&mut watched), ["1 put a", "2 delete b true"]);
    engine.sweep();
    assert_eq!(seen(&mut watched), ["3 delete a true"]);
    let delete = Delete { key: Key::new("a").unwrap(), if_revision: None, request_id: None };
    store.delete(delete, None).now_or_never().unwrap().unwrap();
    assert_eq!(seen(&mut watched), Vec::<String>::new(), "nothing was there");
}

#[test]
fn what_is_kept_is_bounded_for_each_store_and_for_all() {
    let (engine, _) = engine();
    let store = engine.open();
    let start = list(&store);
    for number in 0..100 {
        put(&store, "large", vec![0; 100_000 + number], None);
        assert!(engine.change_bytes() <= 1 << 20, "{}", engine.change_bytes());
    }
    let mut watched = watch(&store, Some(start));
    assert!(seen(&mut watched)[0].starts_with("gap"));
    for _ in 0..20_000 {
        put(&store, "k", Vec::new(), None);
    }
    assert!(seen(&mut watch(&store, Some(start))).len() <= 10_001);

    let stores: Vec<_> = (0..400).map(|_| engine.open()).collect();
    let mut watches: Vec<_> = stores.iter().map(|store| watch(store, None)).collect();
    for store in &stores {
        put(store, "large", vec![0; 1 << 20], None);
    }
    assert!(engine.change_bytes() <= MAX_CHANGE_BYTES, "{}", engine.change_bytes());
    assert_eq!(seen(&mut watches[0]), ["1 put large"]);
    assert_eq!(
        seen(&mut watches[399]),
        ["gap 2"],
        "over the sum, none is kept, and the watcher is told"
    );
}
