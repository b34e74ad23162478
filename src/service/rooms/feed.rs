//! The events of a room as its members at this server follow them, wherever the room is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::history::HistoryBudget;
use crate::model::Limits;
use crate::model::{ChatEvent, Position};
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
    pub(super) feed: Arc<Feed<ChatEvent>>,
    replaced: AtomicBool,
}

/// The part of a generation that a member receives.
pub(super) struct Subscription {
    pub(super) follower: Follower<ChatEvent>,
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

    /// Creates a room with its first generation, whose history is empty.
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
            // Set before the wake, and in one total order with it: a member that registers its
            // waker too late to be woken sees the flag.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Participant, Role, User};
    use crate::store::feed::{FeedItem, Weight};

    #[test]
    fn a_subscription_begins_where_its_member_resumes_or_with_the_history() {
        let limits = Limits { room_history: 3, ..Limits::default() };
        let budget = Arc::new(HistoryBudget::new(1 << 20));
        let (_feed, generation) = RoomFeed::with_generation(&limits, budget, 7);
        for number in 1..=6 {
            let user = User { name: "ann".to_owned(), role: Role::Guest };
            let who = Participant { id: number, user };
            generation.feed.publish(ChatEvent::Joined(who), Weight { counts: true, bytes: 1 });
        }
        let at = |epoch, sequence| Some(Position { epoch, sequence });
        // The first event or gap that follows, and whether the welcome reports a gap.
        for (after, first, gap) in [
            (None, "4", false),
            (at(7, 4), "5", false),
            (at(7, 5), "6", false),
            (at(7, 6), "", false),
            // Within the generation, the gap is where the events are missing.
            (at(7, 2), "3 to 4", false),
            (at(7, 0), "1 to 4", false),
            (at(7, 7), "4", true),
            (at(8, 5), "4", true),
            (at(8, 0), "4", true),
        ] {
            let mut subscription = generation.subscribe(after);
            let next = match subscription.follower.try_next() {
                Some(FeedItem::Event(event)) => event.sequence.to_string(),
                Some(FeedItem::Gap { from, to }) => format!("{from} to {to}"),
                None => String::new(),
            };
            assert_eq!((next.as_str(), subscription.gap), (first, gap), "{after:?}");
        }
    }

    #[test]
    fn a_room_is_charged_for_what_it_keeps_until_it_is_dropped() {
        let budget = Arc::new(HistoryBudget::new(100));
        let rooms = [(); 2].map(|()| RoomFeed::new(&Limits::default(), Arc::clone(&budget)));
        assert!(!rooms[0].charge(60) && !rooms[1].charge(40));
        assert!(rooms[1].charge(41), "together they exceed the limit");
        assert!(!rooms[0].charge(10));
        assert_eq!(budget.used(), 51);
        drop(rooms);
        assert_eq!(budget.used(), 0);
    }
}
