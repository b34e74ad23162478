//! The expiry scheduler: which stores have something to expire, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::model::UnixMillis;

use super::StoreInner;

/// Time of a store that is not scheduled.
const UNSCHEDULED: u64 = u64::MAX;

/// Stores that have something to expire, the earliest first; at most one row for each store.
///
/// Its lock is the last that is taken: no other is asked for while it is held.
#[derive(Default)]
pub(super) struct ExpiryScheduler {
    /// By time, in Unix milliseconds, and the handle's id.
    rows: Mutex<BTreeMap<(u64, u64), Weak<StoreInner>>>,
    next_id: AtomicU64,
}

/// A store's handle in the scheduler.
pub(super) struct ScheduleHandle {
    id: u64,
    /// Time of the store's row, or [`UNSCHEDULED`]. Changed only under the scheduler's lock.
    time: AtomicU64,
}

impl ExpiryScheduler {
    /// Makes the handle of a new store.
    pub(super) fn handle(&self) -> ScheduleHandle {
        ScheduleHandle {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            time: AtomicU64::new(UNSCHEDULED),
        }
    }

    /// Schedules a sweep of the store at `time` or earlier. `None`: it needs none.
    #[inline]
    pub(super) fn schedule(
        &self,
        time: Option<UnixMillis>,
        handle: &ScheduleHandle,
        store: &Arc<StoreInner>,
    ) {
        let Some(time) = time.map(UnixMillis::as_u64) else { return };
        // Most writes find an earlier sweep scheduled and take no lock. A sweep that is no longer
        // needed does no harm.
        if time < handle.time.load(Ordering::Acquire) {
            self.insert(time, handle, store);
        }
    }

    fn insert(&self, time: u64, handle: &ScheduleHandle, store: &Arc<StoreInner>) {
        let mut rows = self.rows.lock();
        let scheduled = handle.time.load(Ordering::Acquire);
        if time < scheduled {
            rows.remove(&(scheduled, handle.id));
            rows.insert((time, handle.id), Arc::downgrade(store));
            handle.time.store(time, Ordering::Release);
        }
    }

    /// Removes the first store that is due from the schedule and returns it.
    pub(super) fn take_due(&self, now: UnixMillis) -> Option<Arc<StoreInner>> {
        let mut rows = self.rows.lock();
        loop {
            let row = rows.first_entry().filter(|row| row.key().0 <= now.as_u64())?;
            // Without a strong reference left, the store is being dropped.
            if let Some(store) = row.remove().upgrade() {
                store.schedule.time.store(UNSCHEDULED, Ordering::Release);
                return Some(store);
            }
        }
    }

    /// Removes a store that is being dropped from the schedule.
    pub(super) fn cancel(&self, handle: &ScheduleHandle) {
        let time = handle.time.load(Ordering::Acquire);
        if time != UNSCHEDULED {
            self.rows.lock().remove(&(time, handle.id));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::{MemoryEngine, StoreLimits};
    use crate::model::{PutRef, UnixMillis};
    use crate::store::{Clock, Store};
    use futures_util::FutureExt;

    #[test]
    fn a_store_has_one_row_however_often_its_first_expiry_changes() {
        let limits = StoreLimits {
            max_keys_per_user: 1_000,
            max_bytes_per_user: 1 << 20,
            max_bytes_total: 1 << 20,
        };
        let engine = MemoryEngine::new(Clock::manual(UnixMillis::default()), limits);
        let (store, other) = (engine.open(), engine.open());
        let put = |to: &str, expire_time| {
            let put = PutRef {
                key: to.as_bytes(),
                text: true,
                expire_time: Some(UnixMillis::new(expire_time)),
                ..PutRef::default()
            };
            store.put(put, None).now_or_never().unwrap().unwrap();
        };
        for time in (1..100).rev() {
            put("one", time);
            put("two", time + 50);
        }
        let rows = || store.0.shared.scheduler.rows.lock().len();
        assert_eq!(rows(), 1);
        drop(other);
        assert_eq!(rows(), 1, "a store without a row takes none with it");
    }
}
