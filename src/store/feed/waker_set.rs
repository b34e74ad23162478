//! Wakers of one feed's followers on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use super::thread_waker::ThreadWaker;

/// Minimum number of followers woken at once that throttles a set.
const THROTTLE_THRESHOLD: usize = 64;
/// Minimum time between two wakeups of a throttled set: waking it costs more than its events, and
/// those published meanwhile are sent together. A single event is not delayed.
const THROTTLE_INTERVAL: Duration = Duration::from_millis(1);

/// Wakers of one feed's followers on one thread; without `thread`, of those on all threads that
/// have no [`ThreadWaker`].
pub(super) struct WakerSet {
    thread: Option<Arc<ThreadWaker>>,
    slots: Mutex<WakerSlots>,
    state: AtomicU8,
}

/// Nothing is posted.
const IDLE: u8 = 0;
/// The set is posted to its thread.
const POSTED: u8 = 1;
/// The set was woken less than [`THROTTLE_INTERVAL`] ago.
const THROTTLED: u8 = 2;
/// The same, and there are new events.
const THROTTLED_WITH_EVENTS: u8 = 3;

#[derive(Default)]
struct WakerSlots {
    slots: Vec<WakerSlot>,
    free: Vec<usize>,
    waiting: usize,
}

#[derive(Default)]
struct WakerSlot {
    /// Kept from one event to the next: most followers are woken by the same waker each time.
    waker: Option<Waker>,
    waits: bool,
}

impl WakerSet {
    pub(super) fn new(thread: Option<Arc<ThreadWaker>>) -> Arc<Self> {
        Arc::new(Self { thread, slots: Mutex::default(), state: AtomicU8::new(IDLE) })
    }

    pub(super) fn belongs_to(&self, thread: Option<&Arc<ThreadWaker>>) -> bool {
        match (&self.thread, thread) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    pub(super) fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.slots.len() - slots.free.len()
    }

    /// Reserves a slot for a waker.
    pub(super) fn reserve(&self) -> usize {
        let mut slots = self.slots.lock();
        match slots.free.pop() {
            Some(slot) => slot,
            None => {
                slots.slots.push(WakerSlot::default());
                slots.slots.len() - 1
            }
        }
    }

    /// Gives a slot back.
    pub(super) fn release(&self, slot: usize) {
        let mut slots = self.slots.lock();
        if slots.slots.get_mut(slot).is_some_and(|slot| std::mem::take(slot).waits) {
            slots.waiting -= 1;
        }
        slots.free.push(slot);
    }

    /// Wakes `waker` at the next event.
    pub(super) fn wait(&self, slot: usize, waker: &Waker) {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.slots.get_mut(slot) else { return };
        match &mut slot.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if !std::mem::replace(&mut slot.waits, true) {
            slots.waiting += 1;
        }
    }

    /// Wakes every follower that waits, now or on its thread.
    pub(super) fn wake(self: &Arc<Self>) {
        let Some(thread) = &self.thread else {
            self.wake_on_this_thread();
            return;
        };
        // Sequentially consistent with the feed's latest sequence, which a follower reads again
        // after it has registered its waker.
        let before =
            self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                IDLE => Some(POSTED),
                THROTTLED => Some(THROTTLED_WITH_EVENTS),
                _ => None,
            });
        if before == Ok(IDLE) {
            thread.post(Arc::clone(self));
        }
    }

    /// Wakes every follower that waits, on this thread. Returns their number.
    fn wake_on_this_thread(&self) -> usize {
        // Before the slots are read: a follower that waits from now on causes a new post.
        self.state.store(IDLE, Ordering::SeqCst);
        let mut slots = self.slots.lock();
        let waiting = std::mem::take(&mut slots.waiting);
        if waiting == 0 {
            return 0;
        }
        let woken = |slot: &mut WakerSlot| std::mem::take(&mut slot.waits);
        let wakers = slots
            .slots
            .iter_mut()
            .filter_map(|slot| if woken(slot) { slot.waker.as_ref() } else { None });
        if self.thread.is_some() {
            // Tasks of this thread's runtime, which runs none of them within this call.
            wakers.for_each(Waker::wake_by_ref);
        } else {
            let wakers: Vec<Waker> = wakers.cloned().collect();
            drop(slots);
            wakers.into_iter().for_each(Waker::wake);
        }
        waiting
    }

    /// Wakes every follower that waits, and throttles the set if they are many. Must be called on
    /// the thread of the followers.
    pub(super) fn wake_and_throttle(self: Arc<Self>) {
        if self.wake_on_this_thread() >= THROTTLE_THRESHOLD && self.throttle() {
            tokio::spawn(self.unthrottle());
        }
    }

    /// Ends the throttling after its time, and throttles again as long as there are new events.
    async fn unthrottle(self: Arc<Self>) {
        loop {
            tokio::time::sleep(THROTTLE_INTERVAL).await;
            if !(self.end_throttle() && self.throttle()) {
                return;
            }
        }
    }

    /// Starts to throttle; returns false if there are new events already.
    fn throttle(&self) -> bool {
        self.state.compare_exchange(IDLE, THROTTLED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends the throttling, and wakes the followers if there are new events. Returns true if the
    /// set is to be throttled again.
    fn end_throttle(&self) -> bool {
        match self.state.compare_exchange(THROTTLED, IDLE, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => false,
            Err(_) => self.wake_on_this_thread() >= THROTTLE_THRESHOLD,
        }
    }
}
