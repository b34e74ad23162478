//! Feeds: ordered events that many follow, each at its own pace.
//!
//! A feed keeps its last events in one ring that all followers share. A follower is a place in that
//! ring and nothing more: a slow one costs no queue, delays nobody, and is told by [`Next::Gap`]
//! when the ring has gone past it. Publishing never waits.

mod hub;
mod ring;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;

use self::hub::Group;
pub use self::hub::Hub;
use self::ring::Ring;

/// An event in its place.
#[derive(Debug)]
pub struct Event<T> {
    /// Its place: one more than that of the event before.
    pub sequence: u64,
    /// What happened.
    pub body: T,
    encoded: OnceLock<Bytes>,
}

impl<T> Event<T> {
    /// The event as it goes to every follower of one door: made by the first that asks, and shared.
    pub fn encoded(&self, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(self))
    }
}

/// How much a feed keeps; the latest event stays, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// At most so many events that count.
    pub events: usize,
    /// At most so many bytes, as they were said when the events were published.
    pub bytes: usize,
}

/// What an event takes of its feed's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Whether it counts among the events.
    pub counts: bool,
    /// Its bytes.
    pub bytes: usize,
}

/// Events in order, and those who wait for the next.
pub struct Feed<T> {
    ring: Mutex<Ring<T>>,
    /// The place of the latest event, for those who only want to know whether there is one more.
    last: AtomicU64,
    groups: Mutex<Vec<Arc<Group>>>,
}

/// What a follower gets next.
#[derive(Debug)]
pub enum Next<T> {
    /// The next event.
    Event(Arc<Event<T>>),
    /// The events from `from` up to and without `to` are no longer kept; those from `to` on follow.
    Gap {
        /// The first event that is missing.
        from: u64,
        /// The first one that is there.
        to: u64,
    },
}

impl<T> Feed<T> {
    /// A feed whose next event has the place `last + 1`.
    pub fn new(last: u64, capacity: Capacity) -> Arc<Self> {
        let ring = Mutex::new(Ring::new(last, capacity));
        Arc::new(Self { ring, last: AtomicU64::new(last), groups: Mutex::default() })
    }

    /// Appends an event and wakes who waits for it. Gives its place.
    pub fn publish(&self, body: T, weight: Weight) -> u64 {
        let sequence = self.append(body, weight);
        self.wake();
        sequence
    }

    /// Appends an event, and leaves it to [`wake`](Self::wake) to tell. Gives its place.
    pub fn append(&self, body: T, weight: Weight) -> u64 {
        let (sequence, gone) = {
            let mut ring = self.ring.lock();
            let pushed = ring.push(body, weight);
            // Under the lock, so that it only rises.
            self.last.store(pushed.0, Ordering::SeqCst);
            pushed
        };
        // Freed without the lock.
        drop(gone);
        sequence
    }

    /// Passes over the places up to `last`: nobody knows what happened there. Those who have not
    /// come so far get a gap.
    pub fn skip_to(&self, last: u64) {
        let gone = {
            let mut ring = self.ring.lock();
            let gone = ring.skip_to(last);
            self.last.fetch_max(last, Ordering::SeqCst);
            gone
        };
        drop(gone);
        self.wake();
    }

    /// Wakes who waits.
    pub fn wake(&self) {
        for group in self.groups.lock().iter() {
            group.wake();
        }
    }

    /// The place of the first event that is kept; without any, that of the next.
    pub fn first(&self) -> u64 {
        self.ring.lock().first()
    }

    /// The place of the latest event.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.ring.lock().bytes()
    }

    /// Keeps no more than the latest events of so many bytes: those who have not had the others yet
    /// get a gap.
    pub fn trim(&self, bytes: usize) {
        let gone = self.ring.lock().trim(bytes);
        drop(gone);
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.groups.lock().iter().map(|group| group.len()).sum()
    }

    /// Follows from behind the event at `after` on. A place beyond the latest event is as the
    /// latest.
    pub fn follow(self: &Arc<Self>, after: u64) -> Follower<T> {
        let next = after.min(self.last()) + 1;
        Follower { feed: Arc::clone(self), next, seat: None }
    }

    /// The group of those who follow on this thread.
    fn group(&self) -> Arc<Group> {
        let hub = Hub::current();
        let mut groups = self.groups.lock();
        if let Some(group) = groups.iter().find(|group| group.is_of(hub.as_ref())) {
            return Arc::clone(group);
        }
        let group = Group::new(hub);
        groups.push(Arc::clone(&group));
        group
    }
}

/// A place in a feed.
pub struct Follower<T> {
    feed: Arc<Feed<T>>,
    next: u64,
    /// Where its waker is kept, once it had to wait.
    seat: Option<(Arc<Group>, usize)>,
}

impl<T> Follower<T> {
    /// The place of the event that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// What comes next, or `Pending` until there is something.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<T>> {
        if let Some(next) = self.try_next() {
            return Poll::Ready(next);
        }
        let (group, seat) = match self.seat.take() {
            Some(taken) => taken,
            None => {
                let group = self.feed.group();
                let seat = group.sit();
                (group, seat)
            }
        };
        group.wait(seat, context.waker());
        self.seat = Some((group, seat));
        // What was published between the look above and the wait had nobody to wake.
        match self.try_next() {
            Some(next) => Poll::Ready(next),
            None => Poll::Pending,
        }
    }

    /// Passes over events that are kept no more; tells whether there were any.
    pub fn skip_gap(&mut self) -> bool {
        let first = self.feed.first();
        let missed = self.next < first;
        self.next = self.next.max(first);
        missed
    }

    /// What comes next, if it is there.
    pub fn try_next(&mut self) -> Option<Next<T>> {
        if self.next > self.feed.last() {
            return None;
        }
        let next = self.feed.ring.lock().get(self.next)?;
        self.next = match &next {
            Next::Event(event) => event.sequence + 1,
            Next::Gap { to, .. } => *to,
        };
        Some(next)
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        if let Some((group, seat)) = self.seat.take() {
            group.leave(seat);
        }
    }
}

#[cfg(test)]
mod tests;
