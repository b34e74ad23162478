//! Feeds: broadcast logs that many follow, each at its own pace.
//!
//! A feed keeps its last events in one ring buffer that all followers share. A follower is only a
//! position in that ring: a slow one needs no queue and delays nobody, and gets a [`FeedItem::Gap`]
//! when the ring has dropped its next event. Publishing never waits.

mod ring;
mod thread_waker;
mod waker_set;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;

use self::ring::Ring;
pub use self::thread_waker::ThreadWaker;
use self::waker_set::WakerSet;

/// Event of a feed.
#[derive(Debug)]
pub struct Event<T> {
    /// Sequence number: one more than that of the event before.
    pub sequence: u64,
    /// Content of the event.
    pub body: T,
    /// Encoding for one protocol, made on first use.
    encoded: OnceLock<Bytes>,
}

impl<T> Event<T> {
    /// Returns the event as every follower of one protocol receives it: encoded by the first that
    /// asks, and shared.
    pub fn encoded(&self, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(self))
    }
}

/// Capacity of a feed. The latest event is kept, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Maximum number of events that [count](Weight::counts).
    pub events: usize,
    /// Maximum bytes, by the weights that the events were published with.
    pub bytes: usize,
}

/// Share that an event takes of its feed's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// True if it counts among the events.
    pub counts: bool,
    /// Bytes of the event.
    pub bytes: usize,
}

/// Events in order, and the followers that wait for the next.
pub struct Feed<T> {
    ring: Mutex<Ring<T>>,
    /// Sequence of the latest event, so that followers without a next event take no lock.
    last: AtomicU64,
    waker_sets: Mutex<Vec<Arc<WakerSet>>>,
}

/// Next item of a follower.
#[derive(Debug)]
pub enum FeedItem<T> {
    /// The next event.
    Event(Arc<Event<T>>),
    /// The events from `from` up to `to`, exclusively, are no longer kept; those from `to` on
    /// follow.
    Gap {
        /// Sequence of the first event that is missing.
        from: u64,
        /// Sequence of the first event that is kept.
        to: u64,
    },
}

impl<T> Feed<T> {
    /// Makes a feed whose next event has the sequence `last + 1`.
    pub fn new(last: u64, capacity: Capacity) -> Arc<Self> {
        let ring = Mutex::new(Ring::new(last, capacity));
        Arc::new(Self { ring, last: AtomicU64::new(last), waker_sets: Mutex::default() })
    }

    /// Appends an event and wakes the followers. Returns its sequence.
    pub fn publish(&self, body: T, weight: Weight) -> u64 {
        let sequence = self.append(body, weight);
        self.wake();
        sequence
    }

    /// Appends an event; [`wake`](Self::wake) is to be called later. Returns its sequence.
    pub fn append(&self, body: T, weight: Weight) -> u64 {
        let (sequence, evicted) = {
            let mut ring = self.ring.lock();
            let pushed = ring.push(body, weight);
            // Stored under the lock, so that it only rises.
            self.last.store(pushed.0, Ordering::SeqCst);
            pushed
        };
        // Freed after the lock is released.
        drop(evicted);
        sequence
    }

    /// Skips the sequences up to `last`, whose events are unknown. Followers before that get a gap.
    pub fn skip_to(&self, last: u64) {
        let evicted = {
            let mut ring = self.ring.lock();
            let evicted = ring.skip_to(last);
            self.last.fetch_max(last, Ordering::SeqCst);
            evicted
        };
        drop(evicted);
        self.wake();
    }

    /// Wakes the followers that wait.
    pub fn wake(&self) {
        for set in self.waker_sets.lock().iter() {
            set.wake();
        }
    }

    /// Sequence of the first event that is kept; without any, that of the next event.
    pub fn first(&self) -> u64 {
        self.ring.lock().first()
    }

    /// Sequence of the latest event.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// Bytes of the events that are kept.
    pub fn bytes(&self) -> usize {
        self.ring.lock().bytes()
    }

    /// Drops the oldest events beyond this number of bytes. Followers that have not read them get a
    /// gap.
    pub fn trim(&self, bytes: usize) {
        let evicted = self.ring.lock().trim(bytes);
        drop(evicted);
    }

    /// Number of followers that have waited.
    pub fn followers(&self) -> usize {
        self.waker_sets.lock().iter().map(|set| set.len()).sum()
    }

    /// Follows the events after the sequence `after`; at most from the latest event on.
    pub fn follow(self: &Arc<Self>, after: u64) -> Follower<T> {
        let next = after.min(self.last()) + 1;
        Follower { feed: Arc::clone(self), next, waker_slot: None }
    }

    /// Returns the waker set of this thread's followers.
    fn waker_set(&self) -> Arc<WakerSet> {
        let thread = ThreadWaker::current();
        let mut sets = self.waker_sets.lock();
        if let Some(set) = sets.iter().find(|set| set.belongs_to(thread.as_ref())) {
            return Arc::clone(set);
        }
        let set = WakerSet::new(thread);
        sets.push(Arc::clone(&set));
        set
    }
}

/// Position in a feed.
pub struct Follower<T> {
    feed: Arc<Feed<T>>,
    next: u64,
    /// Slot of its waker, once it had to wait.
    waker_slot: Option<(Arc<WakerSet>, usize)>,
}

impl<T> Follower<T> {
    /// Sequence of the next event.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Polls for the next item.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FeedItem<T>> {
        if let Some(next) = self.try_next() {
            return Poll::Ready(next);
        }
        let (set, slot) = match self.waker_slot.take() {
            Some(taken) => taken,
            None => {
                let set = self.feed.waker_set();
                let slot = set.reserve();
                (set, slot)
            }
        };
        set.wait(slot, context.waker());
        self.waker_slot = Some((set, slot));
        // An event published between the first check and the wait has woken nobody.
        match self.try_next() {
            Some(next) => Poll::Ready(next),
            None => Poll::Pending,
        }
    }

    /// Skips events that are no longer kept. Returns true if there were any.
    pub fn skip_gap(&mut self) -> bool {
        let first = self.feed.first();
        let missed = self.next < first;
        self.next = self.next.max(first);
        missed
    }

    /// Returns the next item, if there is one yet.
    pub fn try_next(&mut self) -> Option<FeedItem<T>> {
        if self.next > self.feed.last() {
            return None;
        }
        let next = self.feed.ring.lock().get(self.next)?;
        self.next = match &next {
            FeedItem::Event(event) => event.sequence + 1,
            FeedItem::Gap { to, .. } => *to,
        };
        Some(next)
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        if let Some((set, slot)) = self.waker_slot.take() {
            set.release(slot);
        }
    }
}

#[cfg(test)]
mod tests;
