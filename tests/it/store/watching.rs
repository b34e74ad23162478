//! Watches of a store, with every engine.

use std::future::poll_fn;

use kvrpc::model::{Position, Prefix};
use kvrpc::store::feed::FeedItem;
use kvrpc::store::{Change, ChangeKind, Store, Watched};

use super::one_row;
use super::{
    Engine, NO_LIMITS, Step, Tested, batch, delete, for_each_engine, ms, put, removal, write,
    write_until,
};
use crate::harness::within;

/// Returns the next changes as text.
async fn seen(watched: &mut Watched, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(
            match within("the next change", poll_fn(|context| watched.follower.poll_next(context)))
                .await
            {
                FeedItem::Gap { to, .. } => format!("gap {to}"),
                FeedItem::Event(event) => format!("{} {}", event.sequence, in_words(&event.body)),
            },
        );
    }
    seen
}

fn in_words(change: &Change) -> String {
    match &change.kind {
        ChangeKind::Put { value, .. } => {
            format!("{} = {}", change.key.as_str(), value.as_text().unwrap_or("…"))
        }
        ChangeKind::Delete { expired } => {
            format!("{} {}", change.key.as_str(), if *expired { "expired" } else { "deleted" })
        }
    }
}

fn listed<S: Tested>(store: &S) -> Position {
    let prefix = Prefix::default();
    S::now(store.list(one_row(&prefix))).unwrap().position
}

fn changes_are_told_in_order_from_a_listing_on<E: Engine>() {
    let (engine, clock) = E::make(NO_LIMITS);
    let store = engine.open();
    put(&store, write("before", "1")).unwrap();
    let position = listed(&store);
    put(&store, write("a", "2")).unwrap();
    let mut watched = E::Own::waiting(store.watch(Some(position))).unwrap();
    assert!(!watched.gap);
    let steps =
        vec![Step::Put(write("b", "3")), Step::Delete(removal("a")), Step::Put(write("c", "4"))];
    batch(&store, steps).unwrap();
    put(&store, write_until("d", "5", clock.now().as_u64() + 5)).unwrap();
    assert!(!delete(&store, removal("none")).unwrap().0);
    let wanted = ["2 a = 2", "3 b = 3", "4 a deleted", "5 c = 4", "6 d = 5"];
    assert_eq!(E::Own::waiting(seen(&mut watched, 5)), wanted);
    clock.advance(ms(5));
    engine.sweep();
    assert_eq!(E::Own::waiting(seen(&mut watched, 1)), ["7 d expired"]);

    let mut again =
        E::Own::waiting(store.watch(Some(Position { sequence: 4, ..position }))).unwrap();
    assert_eq!(E::Own::waiting(seen(&mut again, 1)), ["5 c = 4"]);
    for (name, after) in [
        ("another life's position", Position { epoch: position.epoch ^ 1, sequence: 3 }),
        ("a position yet to come", Position { sequence: 1_000, ..position }),
    ] {
        assert!(E::Own::waiting(store.watch(Some(after))).unwrap().gap, "{name}");
    }
}

fn what_is_kept_is_bounded<E: Engine>() {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    let start = listed(&store);
    for number in 0..30 {
        put(&store, write("large", &"v".repeat(100_000 + number))).unwrap();
    }
    let mut watched = E::Own::waiting(store.watch(Some(start))).unwrap();
    let gap = watched.gap | watched.follower.skip_gap();
    assert!(gap, "30 changes of 100 kB are more than 1 MiB");
    let first = watched.follower.next_sequence();
    assert!((20..=30).contains(&first), "from {first} on");
    assert!(E::Own::waiting(seen(&mut watched, 1))[0].starts_with(&format!("{first} large")));
}

for_each_engine! {
    changes_are_told_in_order_from_a_listing_on
    what_is_kept_is_bounded
}
