//! Check of a history of concurrent operations on one key for linearizability.
//!
//! After Wing & Gong, "Testing and Verifying Concurrent Objects" (1993), with the memory of visited
//! configurations of Lowe, "Testing for Linearizability" (2017).

use std::collections::HashSet;
use std::fmt;

/// Violation that a history shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation on a key with its answer. Values are numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Found this value with this revision.
    Get { found: Option<(u64, u64)> },
    /// Wrote the value if the condition held; `done` is the revision, or `None` for
    /// `REVISION_MISMATCH`.
    Put { value: u64, if_revision: Option<u64>, done: Option<u64> },
    /// Removed the key if the condition held; `done` is whether it existed, and the store's
    /// revision afterwards.
    Delete { if_revision: Option<u64>, done: Option<(bool, u64)> },
}

/// An operation, and the times between which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) invoked: u64,
    pub(super) returned: u64,
    pub(super) op: Op,
}

/// State of a key: its value, and the last known revision of its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Register {
    held: Option<(u64, u64)>,
    revision: u64,
}

impl Register {
    /// Returns the state after the operation, or `None` if its answer is impossible.
    fn step(self, op: Op) -> Option<Self> {
        let holds = |if_revision: Option<u64>| {
            if_revision.is_none_or(|wanted| self.held.map_or(0, |(_, revision)| revision) == wanted)
        };
        match op {
            Op::Get { found } => (found == self.held).then_some(self),
            Op::Put { if_revision, done: None, .. } | Op::Delete { if_revision, done: None } => {
                (!holds(if_revision)).then_some(self)
            }
            Op::Put { value, if_revision, done: Some(revision) } => {
                let ok = holds(if_revision) && revision > self.revision;
                ok.then_some(Self { held: Some((value, revision)), revision })
            }
            Op::Delete { if_revision, done: Some((deleted, revision)) } => {
                let grew =
                    if deleted { revision > self.revision } else { revision >= self.revision };
                let ok = holds(if_revision) && deleted == self.held.is_some() && grew;
                ok.then_some(Self { held: None, revision })
            }
        }
    }
}

/// Checks the history of one key, which did not exist at first.
pub(super) fn linearizable(history: &[Event]) -> Result<(), Violation> {
    let mut events = history.to_vec();
    events.sort_by_key(|event| event.invoked);
    let mut search = Search {
        done: vec![0; events.len().div_ceil(64)],
        seen: HashSet::new(),
        longest: 0,
        events,
    };
    if search.run(Register::default(), 0, 0) {
        return Ok(());
    }
    let stuck =
        search.events.iter().skip(search.longest.saturating_sub(4)).take(12).collect::<Vec<_>>();
    Err(Violation(format!(
        "no order of the {} operations explains their answers; about operation {}: {stuck:?}",
        search.events.len(),
        search.longest
    )))
}

struct Search {
    events: Vec<Event>,
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, Register)>,
    /// Maximum number of operations that could be put in an order.
    longest: usize,
}

impl Search {
    /// Returns true if the remaining operations can follow; all before `first` are done.
    fn run(&mut self, register: Register, mut first: usize, done: usize) -> bool {
        self.longest = self.longest.max(done);
        while first < self.events.len() && self.is_done(first) {
            first += 1;
        }
        if first == self.events.len() {
            return true;
        }
        // The next operation was invoked before any of the remaining ones returned.
        let left = |at: &usize| !self.is_done(*at);
        let horizon = (first..self.events.len())
            .filter(left)
            .map(|at| self.events[at].returned)
            .min()
            .unwrap();
        for at in first..self.events.len() {
            let event = self.events[at];
            if event.invoked > horizon {
                break;
            }
            if self.is_done(at) {
                continue;
            }
            let Some(next) = register.step(event.op) else { continue };
            self.done[at / 64] ^= 1 << (at % 64);
            if self.seen.insert((self.done.clone(), next)) && self.run(next, first, done + 1) {
                return true;
            }
            self.done[at / 64] ^= 1 << (at % 64);
        }
        false
    }

    fn is_done(&self, at: usize) -> bool {
        self.done[at / 64] & (1 << (at % 64)) != 0
    }
}

#[test]
fn the_checker_tells_good_histories_from_bad_ones() {
    let get = |found| Op::Get { found };
    let put = |value, revision| Op::Put { value, if_revision: None, done: Some(revision) };
    let cas = |value, if_revision, done| Op::Put { value, if_revision: Some(if_revision), done };
    let delete =
        |deleted, revision| Op::Delete { if_revision: None, done: Some((deleted, revision)) };
    let delete_if = |if_revision, done| Op::Delete { if_revision: Some(if_revision), done };
    for (name, good, history) in [
        ("nothing", true, vec![]),
        ("a read of nothing", true, vec![(0, 1, get(None))]),
        ("a read of what nobody wrote", false, vec![(0, 1, get(Some((1, 1))))]),
        ("read after write", true, vec![(0, 1, put(1, 1)), (2, 3, get(Some((1, 1))))]),
        ("a lost write", false, vec![(0, 1, put(1, 1)), (2, 3, get(None))]),
        (
            "old value, new revision",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, put(2, 2)), (4, 5, get(Some((1, 2))))],
        ),
        (
            "a stale read",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, put(2, 2)), (4, 5, get(Some((1, 1))))],
        ),
        (
            "a read beside the write sees the old",
            true,
            vec![(0, 1, put(1, 1)), (2, 5, put(2, 2)), (3, 4, get(Some((1, 1))))],
        ),
        (
            "a read beside the write sees the new",
            true,
            vec![(0, 1, put(1, 1)), (2, 5, put(2, 2)), (3, 4, get(Some((2, 2))))],
        ),
        (
            "two reads beside a write see new, then old",
            false,
            vec![
                (0, 1, put(1, 1)),
                (2, 9, put(2, 2)),
                (3, 4, get(Some((2, 2)))),
                (5, 6, get(Some((1, 1)))),
            ],
        ),
        (
            "writes overlap; the revisions tell the order",
            true,
            vec![(0, 9, put(1, 2)), (1, 8, put(2, 1)), (10, 11, get(Some((1, 2))))],
        ),
        (
            "the other one was last",
            false,
            vec![(0, 9, put(1, 2)), (1, 8, put(2, 1)), (10, 11, get(Some((2, 1))))],
        ),
        ("a revision that falls", false, vec![(0, 1, put(1, 5)), (2, 3, put(2, 4))]),
        ("a revision used twice", false, vec![(0, 1, put(1, 5)), (2, 3, put(2, 5))]),
        (
            "a chain of conditions",
            true,
            vec![(0, 1, cas(1, 0, Some(1))), (2, 3, cas(2, 1, Some(2))), (4, 5, cas(3, 1, None))],
        ),
        (
            "two winners",
            false,
            vec![(0, 1, put(1, 1)), (2, 5, cas(2, 1, Some(2))), (3, 4, cas(3, 1, Some(3)))],
        ),
        (
            "no winner",
            false,
            vec![(0, 1, put(1, 1)), (2, 5, cas(2, 1, None)), (3, 4, cas(3, 1, None))],
        ),
        (
            "one winner",
            true,
            vec![(0, 1, put(1, 1)), (2, 5, cas(2, 1, None)), (3, 4, cas(3, 1, Some(2)))],
        ),
        (
            "a winner whose write is lost",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, cas(2, 1, Some(2))), (4, 5, get(Some((1, 1))))],
        ),
        (
            "deleted",
            true,
            vec![
                (0, 1, put(1, 1)),
                (2, 3, delete(true, 2)),
                (4, 5, get(None)),
                (6, 7, delete(false, 2)),
            ],
        ),
        (
            "deleted twice",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, delete(true, 2)), (4, 5, delete(true, 3))],
        ),
        (
            "back after the delete",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, delete(true, 2)), (4, 5, get(Some((1, 1))))],
        ),
        (
            "deleted on condition",
            true,
            vec![
                (0, 1, put(1, 1)),
                (2, 3, delete_if(2, None)),
                (4, 5, delete_if(1, Some((true, 2)))),
            ],
        ),
        (
            "deleted against the condition",
            false,
            vec![(0, 1, put(1, 1)), (2, 3, delete_if(2, Some((true, 2))))],
        ),
    ] {
        let events: Vec<Event> = history
            .into_iter()
            .map(|(invoked, returned, op)| Event { invoked, returned, op })
            .collect();
        assert_eq!(linearizable(&events).is_ok(), good, "{name}");
    }
}

#[test]
fn the_checker_copes_with_many_operations_at_once() {
    // Ten writes that all overlap: an order fits only if the search follows the revisions. Without
    // a memory it would try 10! orders.
    let writes = (0..10).map(|n| Event {
        invoked: n,
        returned: 100,
        op: Op::Put { value: n, if_revision: None, done: Some(10 - n) },
    });
    let mut events: Vec<Event> = writes.collect();
    let last = |found| Event { invoked: 101, returned: 102, op: Op::Get { found: Some(found) } };
    events.push(last((0, 10)));
    assert_eq!(linearizable(&events), Ok(()));
    events.pop();
    events.push(last((9, 1)));
    assert!(linearizable(&events).is_err());
}
