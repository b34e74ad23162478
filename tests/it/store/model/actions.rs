//! Random actions.

use proptest::prelude::*;
use proptest::sample::select;

/// A condition, to be filled in from the model's state.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    None,
    Absent,
    /// The key's current revision.
    Holds,
    /// The store's next revision plus this number.
    Guess(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Get {
        key: usize,
    },
    /// `ttl` may be negative.
    Put {
        key: usize,
        size: usize,
        ttl: Option<i64>,
        condition: Condition,
    },
    Delete {
        key: usize,
        condition: Condition,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// One change, or a batch of them, of the caller on the target's store.
    Run {
        caller: usize,
        target: usize,
        changes: Vec<Change>,
        batch: bool,
        id: Option<u8>,
    },
    /// An earlier request again, counted from the last.
    Retry {
        back: usize,
    },
    List {
        target: usize,
        prefix: &'static str,
        max_rows: usize,
        max_bytes: usize,
    },
    Advance {
        millis: u64,
    },
    Sweep,
}

pub(super) const KEYS: [&str; 6] = ["a", "ab", "abc", "b", "bä", "c"];

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        5 => Just(Condition::None),
        1 => Just(Condition::Absent),
        2 => Just(Condition::Holds),
        1 => (0..3_u64).prop_map(Condition::Guess),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let any_key = || 0..KEYS.len();
    let ttl = prop_oneof![3 => Just(None), 2 => (-1..20_i64).prop_map(Some)];
    prop_oneof![
        2 => any_key().prop_map(|key| Change::Get { key }),
        5 => (any_key(), select(vec![0, 1, 5, 5, 5, 60, 200]), ttl, condition())
            .prop_map(|(key, size, ttl, condition)| Change::Put { key, size, ttl, condition }),
        2 => (any_key(), condition())
            .prop_map(|(key, condition)| Change::Delete { key, condition }),
    ]
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let id = || prop_oneof![2 => Just(None), 1 => (0..4_u8).prop_map(Some)];
    prop_oneof![
        6 => (0..2_usize, 0..2_usize, change(), id())
            .prop_map(|(caller, target, change, id)| {
                Action::Run { caller, target, changes: vec![change], batch: false, id }
            }),
        4 => (0..2_usize, 0..2_usize, prop::collection::vec(change(), 1..8), id())
            .prop_map(|(caller, target, changes, id)| {
                Action::Run { caller, target, changes, batch: true, id }
            }),
        2 => (1..4_usize).prop_map(|back| Action::Retry { back }),
        2 => (0..2_usize, select(vec!["", "a", "b", "x"]), 0..4_usize, select(vec![0, 10, 1_000]))
            .prop_map(|(target, prefix, max_rows, max_bytes)| {
                Action::List { target, prefix, max_rows, max_bytes }
            }),
        2 => prop_oneof![8 => 1..12_u64, 1 => 290_000..300_001_u64]
            .prop_map(|millis| Action::Advance { millis }),
        1 => Just(Action::Sweep),
    ]
}
