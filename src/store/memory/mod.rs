//! The memory engine: each user's store is one lock, under which every operation happens at one
//! instant.
//!
//! Revision, quota, batches and the order of changes belong to a store as a whole, and one short
//! lock keeps them exact. Users have different stores and do not wait for each other.
//!
//! - `map`: the keys and what they hold, as bytes.
//! - `state`: all that a store's lock guards, and the changes of one key.
//! - `batch`, `undo_log`: several changes, or none.
//! - `list`, `changes`: listings and watches.
//! - `expiries`, `expiry_scheduler`: expiry within a store, and of which store next.
//! - `request_ids`: replies that are remembered for retries.
//! - `engine`: what all stores share: clock, limits, budget.
//!
//! Locks are taken in this order: the store written to, the request ids of the caller's store, the
//! expiry scheduler.

use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};

use crate::model::{
    Delete, Durability, Entry, Key, Operations, Position, PutRef, Result, UnixMillis,
};
use crate::store::{Batched, Deleted, ListQuery, Listed, Once, Store, Watched, Written};

mod batch;
mod changes;
mod engine;
mod expiries;
mod expiry_scheduler;
mod list;
mod map;
mod request_ids;
mod state;
mod undo_log;

pub use engine::{MemoryEngine, StoreLimits, Usage};

use engine::MemoryShared;
use expiry_scheduler::ScheduleHandle;
use request_ids::{Remembered, RequestIds};
use state::StoreState;

/// Maximum number of expired keys that a sweep removes from a store at a time.
const EXPIRED_PER_SWEEP: usize = 256;

/// One user's store, in this process's memory. Clones are the same store; the last one gives back
/// what it holds.
#[derive(Clone)]
pub struct MemoryStore(Arc<StoreInner>);

/// Fields that every operation reads come first so that they share a cache line; with many stores
/// it is usually a cache miss.
#[repr(C)]
pub(super) struct StoreInner {
    hasher: RandomState,
    state: Mutex<StoreState>,
    schedule: ScheduleHandle,
    shared: Arc<MemoryShared>,
    epoch: u64,
    request_ids: Mutex<RequestIds>,
}

impl MemoryStore {
    fn new(shared: Arc<MemoryShared>) -> Self {
        let hasher = RandomState::default();
        Self(Arc::new(StoreInner {
            state: Mutex::new(StoreState::new(hasher.clone())),
            schedule: shared.scheduler.handle(),
            epoch: rand::random(),
            request_ids: Mutex::new(RequestIds::new(hasher.clone())),
            hasher,
            shared,
        }))
    }

    /// Returns what is in the store.
    pub fn usage(&self) -> Usage {
        let locked = self.0.lock();
        Usage {
            keys: locked.state.keys(),
            bytes: locked.state.bytes,
            request_id_bytes: self.0.request_ids.lock().bytes(),
        }
    }

    /// Empties the store and gives back what it holds, since its user is gone. Clones that are
    /// still held find it empty.
    pub fn release(&self) {
        let map = self.0.state.lock().close(&self.0.shared);
        self.0.request_ids.lock().forget_all(&self.0.shared);
        self.0.shared.free(map);
    }

    fn read(&self, key: &Key) -> Option<Entry> {
        let key = key.as_str().as_bytes();
        let hash = self.0.hash(key);
        {
            // If nothing in the store expires, a read changes nothing and needs no time.
            let state = self.0.state.lock();
            if state.expiries.next().is_none() {
                return state.read(hash, key);
            }
        }
        let mut locked = self.0.lock();
        let now = locked.now;
        locked.state.expire_if_due(hash, key, now);
        locked.state.read(hash, key)
    }

    /// Runs a write of `steps` changes, at most once if `once` is given. `expire` removes those of
    /// its keys that have expired.
    fn change<T: Remembered>(
        &self,
        steps: usize,
        once: Option<Once<'_, Self>>,
        expire: impl Fn(&mut StoreState, UnixMillis),
        write: impl Fn(&mut StoreState, UnixMillis) -> Result<T>,
    ) -> Result<T> {
        let mut locked = self.0.lock();
        let now = locked.now;
        expire(&mut locked.state, now);
        let Some(once) = once else {
            return locked.state.with_room(now, |state| write(state, now));
        };
        let caller = &once.caller.0;
        let mut ids = caller.request_ids.lock();
        // Read under this lock, so that the records lie in the order of their times.
        let asked = caller.shared.clock.now();
        ids.forget(asked, &caller.shared);
        if let Some(reply) = ids.reply_to(&once)? {
            return Ok(reply);
        }
        let done = locked.state.with_room(now, |state| {
            state.atomically(steps, |state| {
                let reply = write(state, now)?;
                ids.remember(&once, reply.to_stored(), asked, &caller.shared)?;
                Ok(reply)
            })
        });
        caller.shared.scheduler.schedule(ids.next(), &caller.schedule, caller);
        done
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.read(key))
    }

    async fn put(&self, put: PutRef<'_>, once: Option<Once<'_, Self>>) -> Result<Written> {
        let hash = self.0.hash(put.key);
        self.change(
            1,
            once,
            |state, now| state.expire_if_due(hash, put.key, now),
            |state, now| {
                let revision = state.put(hash, &put, now, &self.0.shared)?;
                Ok(Written { revision, durability: Durability::Local })
            },
        )
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        let key = delete.key.as_str().as_bytes();
        let hash = self.0.hash(key);
        self.change(
            1,
            once,
            |state, now| state.expire_if_due(hash, key, now),
            |state, _| {
                let deleted = state.delete(hash, key, delete.if_revision)?;
                Ok(Deleted { deleted, revision: state.revision, durability: Durability::Local })
            },
        )
    }

    async fn batch(&self, operations: Operations, once: Option<Once<'_, Self>>) -> Result<Batched> {
        let hashes: Vec<_> =
            operations.iter().map(|operation| self.0.hash(operation.key())).collect();
        // With a request id, `change` makes the batch and its record one atomic step.
        let is_atomic = once.is_some();
        self.change(
            operations.len(),
            once,
            |state, now| state.expire_all_if_due(&hashes, &operations, now),
            |state, now| {
                let run = |state: &mut StoreState| {
                    let outcomes = state.run(&hashes, &operations, now, &self.0.shared)?;
                    Ok(Batched {
                        outcomes,
                        revision: state.revision,
                        durability: Durability::Local,
                    })
                };
                if is_atomic { run(state) } else { state.atomically(operations.len(), run) }
            },
        )
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        let mut locked = self.0.lock();
        // The reply gives a position, from which a watch may follow.
        let now = locked.now;
        locked.state.keep_changes(now);
        locked.state.list(&query, self.0.position(&locked.state), now)
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        let mut locked = self.0.lock();
        let now = locked.now;
        let mut position = self.0.position(&locked.state);
        let gap = match after {
            Some(after) if after.epoch == position.epoch && after.sequence <= position.sequence => {
                position = after;
                false
            }
            Some(_) => true,
            None => false,
        };
        let follower = locked.state.keep_changes(now).follow(position.sequence);
        Ok(Watched { follower, position, gap })
    }

    async fn position(&self) -> Result<Position> {
        Ok(self.0.position(&self.0.lock().state))
    }
}

impl StoreInner {
    fn hash(&self, key: &[u8]) -> u64 {
        map::hash(&self.hasher, key)
    }

    fn position(&self, state: &StoreState) -> Position {
        Position { epoch: self.epoch, sequence: state.revision }
    }

    /// Locks the store for one operation.
    fn lock(self: &Arc<Self>) -> Locked<'_> {
        let mut state = self.state.lock();
        // Read under the lock, so that no operation sees an earlier time than the one before it.
        let now = self.shared.clock.now();
        state.expire_some(now);
        Locked { store: self, state, now }
    }

    /// Removes some of what has expired. Returns the number of entries and request ids removed.
    pub(super) fn sweep(self: &Arc<Self>) -> usize {
        let mut locked = self.lock();
        let now = locked.now;
        let expired = locked.state.expire_up_to(now, EXPIRED_PER_SWEEP);
        locked.state.tidy_changes(now, &self.shared);
        drop(locked);
        let mut ids = self.request_ids.lock();
        let forgotten = ids.forget(now, &self.shared);
        self.shared.scheduler.schedule(ids.next(), &self.schedule, self);
        expired + forgotten
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        self.shared.scheduler.cancel(&self.schedule);
        self.request_ids.get_mut().forget_all(&self.shared);
        let map = self.state.get_mut().close(&self.shared);
        self.shared.free(map);
    }
}

/// Locked store, at one time. When it is dropped, the engine learns what was changed.
struct Locked<'a> {
    store: &'a Arc<StoreInner>,
    state: MutexGuard<'a, StoreState>,
    now: UnixMillis,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let shared = &self.store.shared;
        self.state.settle(shared);
        shared.scheduler.schedule(self.state.next_visit(), &self.store.schedule, self.store);
    }
}
