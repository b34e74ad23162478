//! Per-thread waker registry, for many followers on many threads.
//!
//! Waking a task of another thread's runtime takes a lock and perhaps a system call. So the
//! followers on one thread are one waker group: a publisher posts the group once to that thread's
//! hub, and the hub wakes its members on their own thread, where that is cheap.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Number of followers of one feed on one thread from which a group rests after it was woken.
const CROWD: usize = 64;
/// Time for which a large group is not woken again: waking it costs more than its events, and those
/// published meanwhile are sent together. A single event is not delayed.
const REST: Duration = Duration::from_millis(1);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Hub>>> = const { RefCell::new(None) };
}

/// Wakes the followers of one thread.
#[derive(Default)]
pub struct Hub {
    /// Groups with followers to wake; each is in it at most once.
    posted: Mutex<Vec<Arc<Group>>>,
    notify: Notify,
}

impl Hub {
    /// Serves the current thread, for ever. Must be spawned on a runtime of one thread.
    pub async fn serve() {
        let hub = Arc::new(Self::default());
        CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(&hub)));
        let _unset = UnsetHub;
        loop {
            hub.notify.notified().await;
            for group in std::mem::take(&mut *hub.posted.lock()) {
                if group.wake_here() >= CROWD && group.begin_rest() {
                    tokio::spawn(rest(group));
                }
            }
        }
    }

    /// Returns this thread's hub, if it has one.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    fn post(&self, group: Arc<Group>) {
        self.posted.lock().push(group);
        self.notify.notify_one();
    }
}

/// Ends the rest of a group after its time, and rests again as long as there are new events.
async fn rest(group: Arc<Group>) {
    loop {
        tokio::time::sleep(REST).await;
        if !(group.end_rest() && group.begin_rest()) {
            return;
        }
    }
}

/// Removes the hub from its thread when the runtime ends.
struct UnsetHub;

impl Drop for UnsetHub {
    fn drop(&mut self) {
        // The thread may be ending already.
        let _ = CURRENT.try_with(|current| current.borrow_mut().take());
    }
}

/// Followers of one feed on one thread; without a hub, those on all threads that have none.
pub(super) struct Group {
    hub: Option<Arc<Hub>>,
    slots: Mutex<WakerSlots>,
    state: AtomicU8,
}

/// Nothing is posted.
const IDLE: u8 = 0;
/// The group is posted to its hub.
const POSTED: u8 = 1;
/// The group rests.
const RESTING: u8 = 2;
/// The group rests, and there are new events.
const AWAITED: u8 = 3;

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

impl Group {
    pub(super) fn new(hub: Option<Arc<Hub>>) -> Arc<Self> {
        Arc::new(Self { hub, slots: Mutex::default(), state: AtomicU8::new(IDLE) })
    }

    pub(super) fn is_of(&self, hub: Option<&Arc<Hub>>) -> bool {
        match (&self.hub, hub) {
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
        if slots.slots.get_mut(slot).is_some_and(|place| std::mem::take(place).waits) {
            slots.waiting -= 1;
        }
        slots.free.push(slot);
    }

    /// Wakes `waker` at the next event.
    pub(super) fn wait(&self, slot: usize, waker: &Waker) {
        let mut slots = self.slots.lock();
        let Some(place) = slots.slots.get_mut(slot) else { return };
        match &mut place.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if !std::mem::replace(&mut place.waits, true) {
            slots.waiting += 1;
        }
    }

    /// Wakes every follower that waits, now or by the hub.
    pub(super) fn wake(self: &Arc<Self>) {
        let Some(hub) = &self.hub else {
            self.wake_here();
            return;
        };
        // Sequentially consistent with the feed's latest sequence, which a follower reads again
        // after it has registered its waker.
        let before =
            self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                IDLE => Some(POSTED),
                RESTING => Some(AWAITED),
                _ => None,
            });
        if before == Ok(IDLE) {
            hub.post(Arc::clone(self));
        }
    }

    /// Wakes every follower that waits, on this thread. Returns their number.
    fn wake_here(&self) -> usize {
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
        if self.hub.is_some() {
            // Tasks of this thread's runtime, which runs none of them within this call.
            wakers.for_each(Waker::wake_by_ref);
        } else {
            let wakers: Vec<Waker> = wakers.cloned().collect();
            drop(slots);
            wakers.into_iter().for_each(Waker::wake);
        }
        waiting
    }

    /// Starts to rest; returns false if there are new events already.
    fn begin_rest(&self) -> bool {
        self.state.compare_exchange(IDLE, RESTING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends the rest, and wakes the followers if there are new events. Returns true if the group is
    /// to rest again.
    fn end_rest(&self) -> bool {
        match self.state.compare_exchange(RESTING, IDLE, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => false,
            Err(_) => self.wake_here() >= CROWD,
        }
    }
}
