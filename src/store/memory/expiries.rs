//! The keys of a store that expire, by time.

use std::collections::BTreeSet;

use crate::model::UnixMillis;

use super::map::MapSlot;

/// Expiry of an entry, and what finds it. Only keys with an expiry pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) time: UnixMillis,
    /// Identifies the entry, also among those of the same hash.
    pub(super) revision: u64,
    pub(super) hash: u64,
}

/// Entries with an expiry, the earliest first.
pub(super) struct Expiries {
    due: BTreeSet<Due>,
    /// Expiry of the first entry; `None` without any. Every operation reads it.
    next: Option<UnixMillis>,
}

impl Expiries {
    pub(super) const fn new() -> Self {
        Self { due: BTreeSet::new(), next: None }
    }

    /// Returns the earliest expiry; `None`: nothing expires.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.next
    }

    /// Returns true if an entry has expired.
    #[inline]
    pub(super) fn is_any_due(&self, now: UnixMillis) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Returns the entry that has been expired for the longest time.
    pub(super) fn first_due(&self, now: UnixMillis) -> Option<Due> {
        if !self.is_any_due(now) {
            return None;
        }
        self.due.first().copied().filter(|due| due.time <= now)
    }

    /// Adds the entry of this revision, if it expires.
    pub(super) fn add(&mut self, hash: u64, time: Option<UnixMillis>, revision: u64) {
        if let Some(time) = time {
            self.due.insert(Due { time, revision, hash });
            self.next = Some(self.next.map_or(time, |next| next.min(time)));
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, hash: u64, slot: MapSlot<'_>) {
        if let Some(time) = slot.expire_time() {
            self.due.remove(&Due { time, revision: slot.revision(), hash });
            if self.next == Some(time) {
                self.next = self.due.first().map(|due| due.time);
            }
        }
    }
}
