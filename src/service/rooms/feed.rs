//! The events of a room as its members at this server follow them, wherever the room is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::history::HistoryBudget;
use crate::model::{Position, RoomEvent};
use crate::service::limits::Limits;
use crate::store::feed::{Capacity, Feed, Follower};

/// A room's events at this server: its current generation, and what its history is charged for.
pub(super) struct RoomFeed {
    /// `None` until the first member at this server has joined.
    generation: Mutex<Option<Arc<Generation>>>,
    capacity: Capacity,
    budget: Arc<HistoryBudget>,
    charged: AtomicU64,
}

/// A room from its creation to its end. A room in Redis also begins a new generation when Redis has
/// lost some of its events.
pub(super) struct Generation {
    epoch: u64,
    pub(super) feed: Arc<Feed<RoomEvent>>,
    replaced: AtomicBool,
}

/// The part of a generation that a member receives.
pub(super) struct Subscription {
    pub(super) follower: Follower<RoomEvent>,
    /// True if the member asked to resume and events after its position are missing.
    pub(super) gap: bool,
}

impl RoomFeed {
    pub(super) fn new(limits: &Limits, budget: Arc<HistoryBudget>) -> Arc<Self> {
        let capacity = Capacity {
            events: limits.room_history as usize,
            bytes: usize::try_from(limits.room_history_bytes).unwrap_or(usize::MAX),
        };
        Arc::new(Self {
            generation: Mutex::default(),
            capacity,
            budget,
            charged: AtomicU64::new(0),
        })
    }

    /// A room with a generation, whose history is empty.
    pub(super) fn with_generation(
        limits: &Limits,
        budget: Arc<HistoryBudget>,
        epoch: u64,
    ) -> (Arc<Self>, Arc<Generation>) {
        let room = Self::new(limits, budget);
        let generation = Generation::new(epoch, 0, room.capacity);
        *room.generation.lock() = Some(Arc::clone(&generation));
        (room, generation)
    }

    /// Returns the current generation.
    pub(super) fn generation(&self) -> Option<Arc<Generation>> {
        self.generation.lock().clone()
    }

    /// Begins the generation with this epoch, whose history begins after sequence `from`, and wakes
    /// the members that follow the one before. Returns false if it is the current one already.
    pub(super) fn begin(&self, epoch: u64, from: u64) -> bool {
        let old = {
            let mut current = self.generation.lock();
            if current.as_ref().is_some_and(|current| current.epoch == epoch) {
                return false;
            }
            current.replace(Generation::new(epoch, from, self.capacity))
        };
        if let Some(old) = old {
            old.replaced.store(true, Ordering::SeqCst);
            old.feed.wake();
        }
        true
    }

    /// Charges the budget for this room. Returns true if all rooms together exceed the limit: then
    /// this one has to keep no more than [`HistoryBudget::share`].
    pub(super) fn charge(&self, bytes: usize) -> bool {
        self.budget.charge(&self.charged, bytes as u64)
    }
}

impl Drop for RoomFeed {
    fn drop(&mut self) {
        self.budget.charge(&self.charged, 0);
    }
}

impl Generation {
    fn new(epoch: u64, from: u64, capacity: Capacity) -> Arc<Self> {
        let feed = Feed::new(from, capacity);
        Arc::new(Self { epoch, feed, replaced: AtomicBool::new(false) })
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }

    /// Returns true if a room whose latest event is this one has all the events that were followed.
    pub(super) fn continues_to(&self, latest: &Position) -> bool {
        latest.epoch == self.epoch && latest.sequence >= self.feed.last()
    }

    /// Returns true if the room has begun another generation.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    /// Subscribes to the events after a position; without one, or if the position is not of this
    /// generation, to the history.
    pub(super) fn subscribe(&self, after: Option<Position>) -> Subscription {
        let history = self.feed.first() - 1;
        let (start, gap) = match after {
            None => (history, false),
            Some(after) if after.epoch == self.epoch && after.sequence <= self.feed.last() => {
                (after.sequence, false)
            }
            Some(_) => (history, true),
        };
        Subscription { follower: self.feed.follow(start), gap }
    }
}
