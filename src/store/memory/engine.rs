//! What all stores of the memory engine share: the clock, the limits, the budget, and the list of
//! who has something to expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::{self, Error, Reason, Result};
use crate::store::{Clock, MAX_CHANGE_BYTES};

use super::MemoryStore;
use super::agenda::Agenda;
use super::table::Table;

/// A store of more keys than this is freed by the sweeps after it is gone.
const FREED_AT_ONCE: usize = 2_048;

/// How much one [`MemoryEngine::sweep`] does: so many entries, or a sixteenth of it in stores. A
/// few milliseconds at most.
const SWEEP_WORK: usize = 4_096;
/// What looking at a store counts, in entries.
const VISIT_WORK: usize = 16;

/// The limits of the memory engine; what they count is told at [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most keys in a store.
    pub max_keys_per_user: u64,
    /// The most bytes in a store.
    pub max_bytes_per_user: u64,
    /// The most bytes in all stores together, what is kept for request ids included.
    pub max_bytes_total: u64,
}

impl From<&model::Limits> for Limits {
    fn from(limits: &model::Limits) -> Self {
        Self {
            max_keys_per_user: limits.keys_per_user,
            max_bytes_per_user: limits.bytes_per_user,
            max_bytes_total: limits.store_bytes,
        }
    }
}

/// What is in a store, or in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many keys.
    pub keys: u64,
    /// Their bytes, their values' and [`ENTRY_OVERHEAD_BYTES`](crate::store::ENTRY_OVERHEAD_BYTES)
    /// for each.
    pub bytes: u64,
    /// The bytes of the answers that are kept for request ids, about.
    pub request_id_bytes: u64,
}

/// The memory engine: opens stores, and keeps what they share. Clones are the same engine.
#[derive(Clone)]
pub struct MemoryEngine(Arc<Shared>);

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) agenda: Agenda,
    keys: AtomicU64,
    bytes: AtomicU64,
    request_id_bytes: AtomicU64,
    change_bytes: AtomicU64,
    /// The entries of large stores that are gone.
    dropped: Mutex<Vec<Table>>,
}

impl MemoryEngine {
    /// An engine without stores.
    pub fn new(clock: Clock, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            clock,
            limits,
            agenda: Agenda::default(),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            request_id_bytes: AtomicU64::new(0),
            change_bytes: AtomicU64::new(0),
            dropped: Mutex::new(Vec::new()),
        }))
    }

    /// A new, empty store. What it holds is given back when its last clone is dropped.
    pub fn open(&self) -> MemoryStore {
        MemoryStore::new(Arc::clone(&self.0))
    }

    /// What is in all stores together.
    pub fn usage(&self) -> Usage {
        let request_id_bytes = self.0.request_id_bytes.load(Ordering::Relaxed);
        Usage {
            keys: self.0.keys.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed).saturating_sub(request_id_bytes),
            request_id_bytes,
        }
    }

    /// How many bytes of changes are kept for watches, in all stores together.
    pub fn change_bytes(&self) -> u64 {
        self.0.change_bytes.load(Ordering::Relaxed)
    }

    /// Takes out some of what has expired in any store, and frees memory; tells whether there is
    /// more to do at once.
    ///
    /// Nobody can read an expired key anyway; this gives its memory back and lets those hear of it
    /// who watch. Only stores with something due are visited, and each is locked for a few hundred
    /// entries at a time.
    pub fn sweep(&self) -> bool {
        let mut work = 0;
        while work < SWEEP_WORK {
            let Some(store) = self.0.agenda.take_due(self.0.clock.now()) else { break };
            work += VISIT_WORK + store.sweep();
        }
        while work < SWEEP_WORK {
            let Some(freed) = self.0.crumble() else { break };
            work += freed;
        }
        work >= SWEEP_WORK
    }
}

impl Shared {
    /// Takes bytes of the budget.
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
                    "all stores together would have more than the {limit} bytes allowed; {bytes} more were needed"
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

    /// Counts changes that are kept; false if there are too many in all.
    pub(super) fn count_changes(&self, before: u64, after: u64) -> bool {
        let sum = self.change_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        sum.wrapping_add(after.wrapping_sub(before)) <= MAX_CHANGE_BYTES
    }

    pub(super) fn count_keys(&self, before: u64, after: u64) {
        self.keys.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Frees the entries of a store that is gone. A large one's are left to
    /// [`MemoryEngine::sweep`]: a million take tens of milliseconds, too long for whoever happens
    /// to hold the last clone of a store.
    pub(super) fn free(&self, table: Table) {
        if table.len() > FREED_AT_ONCE {
            self.dropped.lock().push(table);
        }
    }

    fn crumble(&self) -> Option<usize> {
        let mut table = self.dropped.lock().pop()?;
        let freed = table.crumble();
        if freed > 0 {
            self.dropped.lock().push(table);
        }
        Some(freed)
    }
}
