//! Which stores have something to expire, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::model::UnixMillis;

use super::Inner;

/// The stores that have something to expire, the first one first; at most one row for each store.
///
/// Its lock is the last that is taken: no other is asked for while it is held.
#[derive(Default)]
pub(super) struct Agenda {
    rows: Mutex<BTreeMap<(u64, u64), Weak<Inner>>>,
    next_id: AtomicU64,
}

/// Time of a store without a row.
const NO_ROW: u64 = u64::MAX;

/// A store's row.
pub(super) struct Ticket {
    id: u64,
    /// Time of the row, in Unix milliseconds; [`NO_ROW`] without one. Changed under the agenda's
    /// lock alone.
    time: AtomicU64,
}

impl Agenda {
    pub(super) fn ticket(&self) -> Ticket {
        Ticket { id: self.next_id.fetch_add(1, Ordering::Relaxed), time: AtomicU64::new(NO_ROW) }
    }

    /// Sees to it that the store is visited at this time, or before. `None`: it need not be.
    #[inline]
    pub(super) fn visit_at(&self, time: Option<UnixMillis>, ticket: &Ticket, store: &Arc<Inner>) {
        // Most writes find an earlier visit arranged, and take no lock. A visit that is not needed
        // any more does no harm.
        let Some(time) = time.map(UnixMillis::as_u64) else { return };
        if time < ticket.time.load(Ordering::Acquire) {
            self.arrange(time, ticket, store);
        }
    }

    fn arrange(&self, time: u64, ticket: &Ticket, store: &Arc<Inner>) {
        let mut rows = self.rows.lock();
        let arranged = ticket.time.load(Ordering::Acquire);
        if time < arranged {
            rows.remove(&(arranged, ticket.id));
            rows.insert((time, ticket.id), Arc::downgrade(store));
            ticket.time.store(time, Ordering::Release);
        }
    }

    /// Takes the first store that is due, without its row.
    pub(super) fn take_due(&self, now: UnixMillis) -> Option<Arc<Inner>> {
        let mut rows = self.rows.lock();
        loop {
            let row = rows.first_entry().filter(|row| row.key().0 <= now.as_u64())?;
            // Without a strong reference left, the store is just being dropped.
            if let Some(store) = row.remove().upgrade() {
                store.ticket.time.store(NO_ROW, Ordering::Release);
                return Some(store);
            }
        }
    }

    /// Forgets a store.
    pub(super) fn leave(&self, ticket: &Ticket) {
        let time = ticket.time.load(Ordering::Acquire);
        if time != NO_ROW {
            self.rows.lock().remove(&(time, ticket.id));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::{Limits, MemoryEngine};
    use crate::model::{PutRef, UnixMillis};
    use crate::store::{Clock, Store};
    use futures_util::FutureExt;

    #[test]
    fn a_store_has_one_row_however_often_its_first_expiry_changes() {
        let limits = Limits {
            max_keys_per_user: 1_000,
            max_bytes_per_user: 1 << 20,
            max_bytes_total: 1 << 20,
        };
        let engine = MemoryEngine::new(Clock::manual(UnixMillis::default()), limits);
        let (store, other) = (engine.open(), engine.open());
        let put = |to: &str, expire_time| {
            let put = PutRef {
                key: to.as_bytes(),
                value: b"",
                text: true,
                expiry: None,
                expire_time: Some(UnixMillis::new(expire_time)),
                if_revision: None,
            };
            store.put(put, None).now_or_never().unwrap().unwrap();
        };
        for time in (1..100).rev() {
            put("one", time);
            put("two", time + 50);
        }
        let rows = || store.0.shared.agenda.rows.lock().len();
        assert_eq!(rows(), 1);
        drop(other);
        assert_eq!(rows(), 1, "a store without a row takes none with it");
    }
}
