//! The memory engine: each user's store is one lock, under which everything happens at one instant.
//!
//! Revision, quota, batches and the order of changes belong to a store as a whole, so one short
//! lock is the simple way to have them exact; users have different stores, so they do not wait for
//! each other. Locks are taken in this order: the store written to, the ids of the caller's store,
//! the agenda.

use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};

use crate::model::{
    Delete, Durability, Entry, Key, Operations, Position, PutRef, Result, UnixMillis,
};
use crate::store::seeded::{self, Bug};
use crate::store::{Batched, Deleted, ListQuery, Listed, Once, Store, Watched, Written};

mod agenda;
mod batch;
mod changes;
mod engine;
mod entry;
mod expiries;
mod ids;
mod journal;
mod list;
mod partition;
#[cfg(feature = "seeded-bugs")]
mod seeded_bugs;
mod slab;
mod state;
mod table;

pub use engine::{Limits, MemoryEngine, Usage};

use agenda::Ticket;
use engine::Shared;
use ids::{Ids, Remembered};
use state::State;

/// How many expired keys a sweep takes out of a store at a time.
const PURGE_PER_SWEEP: usize = 256;

/// One user's store, in this process's memory. Clones are the same store; the last one gives back
/// what it holds.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

/// What every operation reads comes first, together: of many stores, each line comes from far away.
#[repr(C)]
pub(super) struct Inner {
    hasher: RandomState,
    state: Mutex<State>,
    ticket: Ticket,
    shared: Arc<Shared>,
    epoch: u64,
    ids: Mutex<Ids>,
}

impl MemoryStore {
    fn new(shared: Arc<Shared>) -> Self {
        let hasher = RandomState::default();
        let state = Mutex::new(State::new(hasher.clone()));
        let ids = Mutex::new(Ids::new(hasher.clone()));
        let ticket = shared.agenda.ticket();
        Self(Arc::new(Inner { shared, hasher, epoch: rand::random(), ticket, state, ids }))
    }

    /// What is in the store.
    pub fn usage(&self) -> Usage {
        let locked = self.0.lock();
        Usage {
            keys: locked.state.keys(),
            bytes: locked.state.bytes,
            request_id_bytes: self.0.ids.lock().bytes(),
        }
    }

    /// Gives back what it holds, since its user is gone: whoever still has the store finds it
    /// empty.
    pub fn release(&self) {
        let table = self.0.state.lock().close(&self.0.shared);
        self.0.ids.lock().forget_all(&self.0.shared);
        self.0.shared.free(table);
    }

    fn read(&self, key: &Key) -> Option<Entry> {
        let key = key.as_str().as_bytes();
        let hash = self.0.hash(key);
        {
            // Where nothing expires, a read changes nothing and needs no time.
            let state = self.0.state.lock();
            if state.expiries.next().is_none() {
                return state.read(hash, key);
            }
        }
        let mut locked = self.0.lock();
        let now =
            if seeded::on(Bug::ExpiredValueBack) { UnixMillis::default() } else { locked.now };
        locked.state.touch(hash, key, now);
        locked.state.read(hash, key)
    }

    /// Does a write of so many steps, at most once if `once` says so.
    fn change<T: Remembered>(
        &self,
        steps: usize,
        once: Option<Once<'_, Self>>,
        touch: impl Fn(&mut State, UnixMillis),
        write: impl Fn(&mut State, UnixMillis) -> Result<T>,
    ) -> Result<T> {
        let mut locked = self.0.lock();
        let now = locked.now;
        touch(&mut locked.state, now);
        let Some(once) = once else {
            return locked.state.with_room(now, |state| write(state, now));
        };
        let caller = &once.caller.0;
        let mut ids = caller.ids.lock();
        // Under this lock too, so that the records lie in the order of their times.
        let asked = caller.shared.clock.now();
        ids.forget(asked, &caller.shared);
        if let Some(answer) = ids.answer(&once)?
            && !seeded::on(Bug::RequestIdAppliedTwice)
        {
            return Ok(answer);
        }
        let done = locked.state.with_room(now, |state| {
            state.atomically(steps, |state| {
                let answer = write(state, now)?;
                ids.remember(&once, answer.to_answer(), asked, &caller.shared)?;
                Ok(answer)
            })
        });
        caller.shared.agenda.visit_at(ids.next(), &caller.ticket, caller);
        done
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.read(key))
    }

    async fn put(&self, put: PutRef<'_>, once: Option<Once<'_, Self>>) -> Result<Written> {
        #[cfg(feature = "seeded-bugs")]
        let (this, put) = (&seeded_bugs::target(self), seeded_bugs::check_unlocked(self, put)?);
        #[cfg(not(feature = "seeded-bugs"))]
        let this = self;

        let hash = this.0.hash(put.key);
        this.change(
            1,
            once,
            |state, now| state.touch(hash, put.key, now),
            |state, now| {
                let revision = state.put(hash, &put, now, &this.0.shared)?;
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
            |state, now| state.touch(hash, key, now),
            |state, _| {
                let deleted = state.delete(hash, key, delete.if_revision)?;
                Ok(Deleted { deleted, revision: state.revision, durability: Durability::Local })
            },
        )
    }

    async fn batch(&self, operations: Operations, once: Option<Once<'_, Self>>) -> Result<Batched> {
        let hashes: Vec<_> =
            operations.iter().map(|operation| self.0.hash(operation.key())).collect();
        let atomically_too = once.is_none();
        self.change(
            operations.len(),
            once,
            |state, now| state.touch_all(&hashes, &operations, now),
            |state, now| {
                let run = |state: &mut State| {
                    let outcomes = state.run(&hashes, &operations, now, &self.0.shared)?;
                    Ok(Batched {
                        outcomes,
                        revision: state.revision,
                        durability: Durability::Local,
                    })
                };
                if atomically_too { state.atomically(operations.len(), run) } else { run(state) }
            },
        )
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        let mut locked = self.0.lock();
        // The reply tells a position, which somebody may want to watch from.
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

impl Inner {
    fn hash(&self, key: &[u8]) -> u64 {
        table::hash(&self.hasher, key)
    }

    fn position(&self, state: &State) -> Position {
        Position { epoch: self.epoch, sequence: state.revision }
    }

    /// Locks the store, for one operation.
    fn lock(self: &Arc<Self>) -> Locked<'_> {
        let mut state = self.state.lock();
        // Under the lock, so that no operation sees a time before that of the one before it.
        let now = self.shared.clock.now();
        state.begin(now);
        Locked { store: self, state, now }
    }

    /// Takes out some of what has expired, and tells how many entries that were.
    pub(super) fn sweep(self: &Arc<Self>) -> usize {
        let mut locked = self.lock();
        let now = locked.now;
        let purged = locked.state.purge(now, PURGE_PER_SWEEP);
        locked.state.tidy_changes(now, &self.shared);
        drop(locked);
        let mut ids = self.ids.lock();
        let forgotten = ids.forget(now, &self.shared);
        self.shared.agenda.visit_at(ids.next(), &self.ticket, self);
        purged + forgotten
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.agenda.leave(&self.ticket);
        self.ids.get_mut().forget_all(&self.shared);
        let table = self.state.get_mut().close(&self.shared);
        self.shared.free(table);
    }
}

/// A store's lock, at one time. What was changed under it is told to the engine in the end,
/// whatever the way out.
struct Locked<'a> {
    store: &'a Arc<Inner>,
    state: MutexGuard<'a, State>,
    now: UnixMillis,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let shared = &self.store.shared;
        self.state.settle(shared);
        shared.agenda.visit_at(self.state.next_visit(), &self.store.ticket, self.store);
    }
}
