//! The memory engine: clock, limits, budget and expiry scheduler, which all stores share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::{self, Error, Reason, Result};
use crate::store::{Clock, MAX_CHANGE_BYTES};

use super::MemoryStore;
use super::expiry_scheduler::ExpiryScheduler;
use super::map::SlotMap;

/// Maximum number of keys that are freed when a store is dropped; a larger store is freed by
/// sweeps.
const MAX_FREED_ON_DROP: usize = 2_048;

/// Work of one [`MemoryEngine::sweep`], in entries: a few milliseconds at most.
const SWEEP_WORK: usize = 4_096;
/// Work of visiting a store, in entries.
const VISIT_WORK: usize = 16;

/// Limits of stores; [`Usage`] says what they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Maximum number of keys in a store.
    pub max_keys_per_user: u64,
    /// Maximum bytes in a store.
    pub max_bytes_per_user: u64,
    /// Maximum bytes in all stores together, with those kept for request ids. The memory engine
    /// alone holds to it.
    pub max_bytes_total: u64,
}

impl From<&model::Limits> for StoreLimits {
    fn from(limits: &model::Limits) -> Self {
        Self {
            max_keys_per_user: limits.keys_per_user,
            max_bytes_per_user: limits.bytes_per_user,
            max_bytes_total: limits.store_bytes,
        }
    }
}

/// Contents of a store, or of all stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of keys and values, and [`ENTRY_OVERHEAD_BYTES`](crate::store::ENTRY_OVERHEAD_BYTES)
    /// for each key.
    pub bytes: u64,
    /// Approximate bytes of the replies that are kept for request ids.
    pub request_id_bytes: u64,
}

/// Memory engine: opens stores, and keeps what they share. Clones are the same engine.
#[derive(Clone)]
pub struct MemoryEngine(Arc<MemoryShared>);

/// State that all stores of an engine share.
pub(super) struct MemoryShared {
    pub(super) clock: Clock,
    pub(super) limits: StoreLimits,
    pub(super) scheduler: ExpiryScheduler,
    keys: AtomicU64,
    bytes: AtomicU64,
    request_id_bytes: AtomicU64,
    change_bytes: AtomicU64,
    /// Maps of large stores that are gone.
    dropped: Mutex<Vec<SlotMap>>,
}

impl MemoryEngine {
    /// Makes an engine without stores.
    pub fn new(clock: Clock, limits: StoreLimits) -> Self {
        Self(Arc::new(MemoryShared {
            clock,
            limits,
            scheduler: ExpiryScheduler::default(),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            request_id_bytes: AtomicU64::new(0),
            change_bytes: AtomicU64::new(0),
            dropped: Mutex::new(Vec::new()),
        }))
    }

    /// Opens a new, empty store. What it holds is given back when its last clone is dropped.
    pub fn open(&self) -> MemoryStore {
        MemoryStore::new(Arc::clone(&self.0))
    }

    /// Returns what is in all stores together.
    pub fn usage(&self) -> Usage {
        let request_id_bytes = self.0.request_id_bytes.load(Ordering::Relaxed);
        Usage {
            keys: self.0.keys.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed).saturating_sub(request_id_bytes),
            request_id_bytes,
        }
    }

    /// Bytes of changes that are kept for watches, in all stores together.
    pub fn change_bytes(&self) -> u64 {
        self.0.change_bytes.load(Ordering::Relaxed)
    }

    /// Removes some of what has expired in any store, and frees memory. Returns true if there is
    /// more to do.
    ///
    /// Expired keys are hidden anyway; a sweep gives their memory back and sends their changes to
    /// watches. It visits only stores with something due, and locks each for a few hundred entries
    /// at a time.
    pub fn sweep(&self) -> bool {
        let mut work = 0;
        while work < SWEEP_WORK {
            let Some(store) = self.0.scheduler.take_due(self.0.clock.now()) else { break };
            work += VISIT_WORK + store.sweep();
        }
        while work < SWEEP_WORK {
            let Some(freed) = self.0.free_incrementally() else { break };
            work += freed;
        }
        work >= SWEEP_WORK
    }
}

impl MemoryShared {
    /// Takes bytes from the budget.
    ///
    /// # Errors
    /// `SERVER_FULL`.
    pub(super) fn reserve(&self, bytes: u64) -> Result<()> {
        let limit = self.limits.max_bytes_total;
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= limit)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                Reason::ServerFull,
                format!(
                    "all stores together would have more than the {limit} bytes allowed; {bytes} \
                     more were needed"
                ),
            )),
        }
    }

    /// Gives bytes back to the budget.
    pub(super) fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn reserve_for_request_id(&self, bytes: u64) -> Result<()> {
        self.reserve(bytes)?;
        self.request_id_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn release_for_request_id(&self, bytes: u64) {
        self.request_id_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.release(bytes);
    }

    /// Counts the changes that a store keeps; returns false if all stores together keep too many.
    pub(super) fn count_changes(&self, before: u64, after: u64) -> bool {
        let sum = self.change_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        sum.wrapping_add(after.wrapping_sub(before)) <= MAX_CHANGE_BYTES
    }

    pub(super) fn count_keys(&self, before: u64, after: u64) {
        self.keys.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Frees the map of a store that is gone. A large one is left to [`MemoryEngine::sweep`]: a
    /// million entries take tens of milliseconds, too long for the holder of a store's last clone.
    pub(super) fn free(&self, map: SlotMap) {
        if map.len() > MAX_FREED_ON_DROP {
            self.dropped.lock().push(map);
        }
    }

    /// Frees part of a map; `None`: there is nothing to free.
    fn free_incrementally(&self) -> Option<usize> {
        let mut map = self.dropped.lock().pop()?;
        let freed = map.free_incrementally();
        if freed > 0 {
            self.dropped.lock().push(map);
        }
        Some(freed)
    }
}
