//! Which keys of a store expire when.

use std::collections::BTreeSet;

use crate::model::UnixMillis;

use super::entry::Entry;

/// When an entry expires, and what finds it: only keys with an expiry pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) time: UnixMillis,
    /// Tells the entry from all others of the store, of the same hash too.
    pub(super) revision: u64,
    pub(super) hash: u64,
}

/// The entries with an expiry, the first one to go first.
pub(super) struct Expiries {
    due: BTreeSet<Due>,
    /// Expiry of the first entry; `None` without any. Every operation reads it.
    next: Option<UnixMillis>,
}

impl Expiries {
    pub(super) const fn new() -> Self {
        Self { due: BTreeSet::new(), next: None }
    }

    /// Expiry of the entry that expires first; `None`: none does.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.next
    }

    /// Returns true if an entry has expired.
    #[inline]
    pub(super) fn is_any_due(&self, now: UnixMillis) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    pub(super) fn first_due(&self, now: UnixMillis) -> Option<Due> {
        if !self.is_any_due(now) {
            return None;
        }
        self.due.first().copied().filter(|due| due.time <= now)
    }

    /// Takes up the entry of this revision, if it expires.
    pub(super) fn add(&mut self, hash: u64, time: Option<UnixMillis>, revision: u64) {
        if let Some(time) = time {
            self.due.insert(Due { time, revision, hash });
            self.next = Some(self.next.map_or(time, |next| next.min(time)));
        }
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, hash: u64, entry: Entry<'_>) {
        if let Some(time) = entry.expire_time() {
            self.due.remove(&Due { time, revision: entry.revision(), hash });
            if self.next == Some(time) {
                self.next = self.due.first().map(|due| due.time);
            }
        }
    }
}
