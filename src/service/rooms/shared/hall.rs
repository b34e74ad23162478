//! A room, as those at this server are in it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Rooms;
use crate::model::{Error, Reason, Result, RoomName};
use crate::service::rooms::RoomEvent;
use crate::service::user::User;
use crate::store::RedisEngine;
use crate::store::feed::{Capacity, Feed};
use crate::store::redis::rooms::{Attended, Listening, RoomKeys};

/// How long who comes waits for what was before it.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

/// A room that somebody here is in.
pub(super) struct Hall {
    pub(super) name: RoomName,
    pub(super) keys: RoomKeys,
    /// Told when the engine has something new.
    pub(super) listening: Listening,
    /// Told when there is something to do for the members here.
    pub(super) keeper: Notify,
    /// Told when the feed has gone on.
    pub(super) reached: Notify,
    life: Mutex<Option<Arc<Life>>>,
    state: Mutex<State>,
    /// What it counts in the sum of all.
    counted: AtomicU64,
    /// Whether the room may not be what it is taken for.
    doubted: AtomicBool,
}

/// What a room is from its making to its end, unless the engine loses some of it before.
pub(super) struct Life {
    pub(super) epoch: u64,
    pub(super) feed: Arc<Feed<RoomEvent>>,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    seats: HashMap<u64, Reserved>,
    leaving: Vec<Leaving>,
    over: bool,
}

struct Reserved {
    user: Arc<User>,
    /// Whether the engine knows of it.
    taken: bool,
}

/// A seat that is to be given up.
#[derive(Clone, Copy)]
pub(super) struct Leaving {
    pub(super) seat: u64,
    /// The user on whose list of rooms it is, if the engine may know nothing else of it.
    pub(super) listed: Option<u64>,
}

impl Hall {
    pub(super) fn new(engine: &RedisEngine, name: &RoomName, keys: RoomKeys) -> Arc<Self> {
        Arc::new(Self {
            name: name.clone(),
            listening: engine.listen(&keys),
            keys,
            keeper: Notify::new(),
            reached: Notify::new(),
            life: Mutex::default(),
            state: Mutex::default(),
            counted: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
        })
    }

    /// What the room is now, as far as is known.
    pub(super) fn life(&self) -> Option<Arc<Life>> {
        self.life.lock().clone()
    }

    /// Takes what the engine says: the room's epoch, and behind which event those come that it
    /// keeps.
    pub(super) fn learn(&self, rooms: &Rooms, epoch: u64, from: u64) {
        let old = {
            let mut life = self.life.lock();
            if life.as_ref().is_some_and(|known| known.epoch == epoch) {
                return;
            }
            let capacity = Capacity {
                events: rooms.limits.room_history as usize,
                bytes: usize::try_from(rooms.limits.room_history_bytes).unwrap_or(usize::MAX),
            };
            life.replace(Arc::new(Life {
                epoch,
                feed: Feed::new(from, capacity),
                over: AtomicBool::new(false),
            }))
        };
        self.listening.changed.notify_one();
        if let Some(old) = old {
            old.over.store(true, Ordering::SeqCst);
            old.feed.wake();
        }
    }

    /// Waits until the feed has all up to somebody's coming.
    pub(super) async fn reach(&self, rooms: &Rooms, attended: &Attended) -> Result<Arc<Life>> {
        self.learn(rooms, attended.epoch, attended.from);
        let reached = async {
            loop {
                let mut told = std::pin::pin!(self.reached.notified());
                told.as_mut().enable();
                if let Some(life) = self.life()
                    && life.epoch == attended.epoch
                    && life.feed.last() >= attended.sequence
                {
                    return life;
                }
                self.listening.changed.notify_one();
                told.await;
            }
        };
        timeout(REACHED_WITHIN, reached).await.map_err(|_| {
            Error::new(
                Reason::StoreUnavailable,
                "the store does not give the room's events; try again later",
            )
            .retry_after(Duration::from_secs(1))
        })
    }

    /// Counts what it keeps among all; if that is too much, it keeps less.
    pub(super) fn count(&self, rooms: &Rooms, life: &Life) {
        if self.recount(rooms, life.feed.bytes() as u64) > rooms.limits.history_bytes {
            life.feed.trim(rooms.share());
            self.recount(rooms, life.feed.bytes() as u64);
        }
    }

    /// Nobody follows its events any more.
    pub(super) fn keep_nothing(&self, rooms: &Rooms) {
        self.recount(rooms, 0);
    }

    /// Gives the sum of all.
    fn recount(&self, rooms: &Rooms, bytes: u64) -> u64 {
        let before = self.counted.swap(bytes, Ordering::Relaxed);
        let change = bytes.wrapping_sub(before);
        rooms.kept.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }

    /// Keeps a seat for somebody who is about to come.
    pub(super) fn reserve(&self, seat: u64, user: &Arc<User>) {
        self.state.lock().seats.insert(seat, Reserved { user: Arc::clone(user), taken: false });
    }

    /// The engine knows of the seat.
    pub(super) fn take(&self, seat: u64) {
        if let Some(reserved) = self.state.lock().seats.get_mut(&seat) {
            reserved.taken = true;
        }
    }

    /// Somebody goes.
    pub(super) fn give_up(&self, seat: u64, listed: bool) {
        let mut state = self.state.lock();
        if let Some(reserved) = state.seats.remove(&seat) {
            let listed = (listed && !reserved.taken).then_some(reserved.user.id);
            state.leaving.push(Leaving { seat, listed });
        }
        drop(state);
        self.keeper.notify_one();
    }

    /// Some of those who are to be given up.
    pub(super) fn leaving(&self, most: usize) -> Vec<Leaving> {
        self.state.lock().leaving.iter().take(most).copied().collect()
    }

    /// These are given up; the first of those that were to be.
    pub(super) fn left(&self, count: usize) {
        let leaving = &mut self.state.lock().leaving;
        leaving.drain(..count.min(leaving.len()));
    }

    /// How many seats the engine is to know of.
    pub(super) fn taken(&self) -> u64 {
        let state = self.state.lock();
        (state.seats.values().filter(|seat| seat.taken).count() + state.leaving.len()) as u64
    }

    /// What differs between here and the engine, which knows of these seats: those that it lacks,
    /// with their users, and those that nobody has.
    pub(super) fn compare(&self, known: &[u64]) -> (Vec<(u64, Arc<User>)>, Vec<u64>) {
        let known: HashSet<u64> = known.iter().copied().collect();
        let state = self.state.lock();
        let lacking =
            state.seats.iter().filter(|(seat, reserved)| reserved.taken && !known.contains(seat));
        let lacking = lacking.map(|(seat, reserved)| (*seat, Arc::clone(&reserved.user))).collect();
        let leaving: HashSet<u64> = state.leaving.iter().map(|leaving| leaving.seat).collect();
        let nobodys =
            known.iter().filter(|seat| !state.seats.contains_key(seat) && !leaving.contains(seat));
        (lacking, nobodys.copied().collect())
    }

    /// The room may not be what it is taken for.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
        self.keeper.notify_one();
    }

    /// Whether it was doubted since this was last asked.
    pub(super) fn takes_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::AcqRel)
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over
    }
}

impl Rooms {
    /// Ends a hall that nobody here is in; tells whether it has. `forget`: even if the engine was
    /// not told of all who left.
    pub(super) fn close(&self, hall: &Hall, forget: bool) -> bool {
        let mut halls = self.halls.lock();
        let mut state = hall.state.lock();
        if !state.seats.is_empty() || !(forget || state.leaving.is_empty()) {
            return false;
        }
        state.over = true;
        drop(state);
        halls.remove(hall.name.folded());
        // So that it sees that it is over.
        hall.listening.changed.notify_one();
        true
    }
}

impl Life {
    /// Whether the room is something else by now.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}
