//! Which keys of a store expire when.

use std::collections::BTreeSet;

use crate::model::Millis;

use super::entry::Entry;

/// When an entry expires, and what finds it: only keys with an expiry pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) time: Millis,
    /// Tells the entry from all others of the store, of the same hash too.
    pub(super) revision: u64,
    pub(super) hash: u64,
}

/// The entries with an expiry, the first one to go first.
pub(super) struct Expiries {
    due: BTreeSet<Due>,
    /// The time of the first; `Millis::MAX` without any. Every operation looks at it.
    next: Millis,
}

impl Expiries {
    pub(super) const fn new() -> Self {
        Self { due: BTreeSet::new(), next: Millis::MAX }
    }

    /// When the first entry goes; `Millis::MAX`: none does.
    pub(super) fn next(&self) -> Millis {
        self.next
    }

    pub(super) fn first_due(&self, now: Millis) -> Option<Due> {
        if self.next > now { None } else { self.due.first().copied().filter(|due| due.time <= now) }
    }

    /// Takes up the entry of this revision, if it expires.
    pub(super) fn add(&mut self, hash: u64, time: Option<Millis>, revision: u64) {
        if let Some(time) = time {
            self.due.insert(Due { time, revision, hash });
            self.next = self.next.min(time);
        }
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, hash: u64, entry: Entry<'_>) {
        if let Some(time) = entry.expire_time() {
            self.due.remove(&Due { time, revision: entry.revision(), hash });
            if time == self.next {
                self.next = self.due.first().map_or(Millis::MAX, |due| due.time);
            }
        }
    }
}
