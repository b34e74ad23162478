//! The membership leases of one room at this server.

use std::collections::{HashMap, HashSet};

/// Leases by their numbers, each with its user. A lease is reserved before Redis is told of it, so
/// that no lease in Redis is unknown here.
pub(super) struct LeaseTable<U> {
    held: HashMap<u64, HeldLease<U>>,
    ended: Vec<EndedLease>,
    closed: bool,
}

struct HeldLease<U> {
    user: U,
    /// True once Redis has confirmed the lease.
    confirmed: bool,
}

/// A lease that Redis has yet to be told the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedLease {
    pub(super) number: u64,
    /// The user to whose list the room was added for this lease, if Redis has not confirmed the
    /// lease: nothing else removes the entry.
    pub(super) listed: Option<u64>,
}

/// Difference between the leases here and those in Redis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeaseDifference<U> {
    /// Confirmed leases that Redis has lost, with their users.
    pub(super) missing: Vec<(u64, U)>,
    /// Leases in Redis that nobody holds.
    pub(super) stray: Vec<u64>,
}

impl<U> Default for LeaseTable<U> {
    fn default() -> Self {
        Self { held: HashMap::new(), ended: Vec::new(), closed: false }
    }
}

impl<U: Clone> LeaseTable<U> {
    /// Adds a lease of a user that is about to join.
    pub(super) fn reserve(&mut self, number: u64, user: U) {
        self.held.insert(number, HeldLease { user, confirmed: false });
    }

    /// Notes that Redis has the lease.
    pub(super) fn confirm(&mut self, number: u64) {
        if let Some(lease) = self.held.get_mut(&number) {
            lease.confirmed = true;
        }
    }

    /// Ends a lease. `listed`: the user to whose list the room was added for it.
    pub(super) fn end(&mut self, number: u64, listed: Option<u64>) {
        if let Some(lease) = self.held.remove(&number) {
            self.ended.push(EndedLease { number, listed: listed.filter(|_| !lease.confirmed) });
        }
    }

    /// Returns the first of the ended leases.
    pub(super) fn ended(&self, limit: usize) -> Vec<EndedLease> {
        self.ended.iter().take(limit).copied().collect()
    }

    /// Forgets the first of the ended leases, once Redis has been told.
    pub(super) fn forget_ended(&mut self, count: usize) {
        self.ended.drain(..count.min(self.ended.len()));
    }

    /// Returns the number of leases that Redis is expected to have.
    pub(super) fn expected(&self) -> u64 {
        let confirmed = self.held.values().filter(|lease| lease.confirmed).count();
        (confirmed + self.ended.len()) as u64
    }

    /// Compares the leases with those that Redis has.
    pub(super) fn compare(&self, in_redis: &[u64]) -> LeaseDifference<U> {
        let in_redis: HashSet<u64> = in_redis.iter().copied().collect();
        let missing = self
            .held
            .iter()
            .filter(|(number, lease)| lease.confirmed && !in_redis.contains(number));
        let missing = missing.map(|(number, lease)| (*number, lease.user.clone())).collect();
        let ended: HashSet<u64> = self.ended.iter().map(|lease| lease.number).collect();
        let known = |number: &u64| self.held.contains_key(number) || ended.contains(number);
        let stray = in_redis.into_iter().filter(|number| !known(number)).collect();
        LeaseDifference { missing, stray }
    }

    /// Closes the table if it has no leases; `forget`: even if Redis has not been told the end of
    /// all of them. Returns true if it is closed.
    pub(super) fn close(&mut self, forget: bool) -> bool {
        self.closed |= self.held.is_empty() && (forget || self.ended.is_empty());
        self.closed
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> LeaseTable<&'static str> {
        let mut table = LeaseTable::default();
        for (number, user) in [(1, "ann"), (2, "bob"), (3, "eve"), (4, "tom")] {
            table.reserve(number, user);
        }
        table.confirm(1);
        table.confirm(2);
        table.confirm(4);
        table.end(4, Some(40));
        table
    }

    #[test]
    fn the_difference_is_what_redis_lacks_and_what_nobody_holds() {
        for (in_redis, missing, stray) in [
            (&[1, 2, 4][..], &[][..], &[][..]),
            // 3 is reserved: Redis may have it or not.
            (&[1, 2, 3, 4], &[], &[]),
            // 4 has ended: Redis may have been told already.
            (&[1, 2], &[], &[]),
            (&[], &[(1, "ann"), (2, "bob")], &[]),
            (&[2, 4, 7, 8], &[(1, "ann")], &[7, 8]),
        ] {
            let mut difference = table().compare(in_redis);
            difference.missing.sort_unstable();
            difference.stray.sort_unstable();
            let (missing, stray) = (missing.to_vec(), stray.to_vec());
            assert_eq!(difference, LeaseDifference { missing, stray }, "{in_redis:?}");
        }
        assert_eq!(table().expected(), 3, "two that are confirmed, and one whose end is not told");
    }

    #[test]
    fn only_a_lease_that_was_not_confirmed_takes_its_list_entry_along() {
        let mut table = table();
        table.end(3, Some(30));
        table.end(1, None);
        table.end(1, Some(10));
        let ended = |number, listed| EndedLease { number, listed };
        assert_eq!(table.ended(9), [ended(4, None), ended(3, Some(30)), ended(1, None)]);
        assert_eq!(table.ended(1), [ended(4, None)]);
        table.forget_ended(2);
        assert_eq!(table.ended(9), [ended(1, None)]);
        table.forget_ended(5);
        assert_eq!(table.ended(9), []);
    }

    #[test]
    fn a_table_closes_when_nobody_holds_a_lease_and_redis_knows() {
        let mut table = table();
        for number in 1..=3 {
            assert!(!table.close(true), "{number} is held");
            table.end(number, None);
        }
        assert!(!table.close(false), "Redis has not been told");
        table.forget_ended(4);
        assert!(table.close(false) && table.is_closed());
        let mut table = self::table();
        (1..=3).for_each(|number| table.end(number, None));
        assert!(table.close(true), "their time is over in Redis");
    }
}
