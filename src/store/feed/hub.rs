//! Waking many on many threads.
//!
//! To wake a task of another thread's runtime costs a lock and perhaps a system call. So the
//! followers of one thread are one group: whoever publishes posts the group to that thread's hub,
//! once, and the hub wakes its members where that is cheap.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many followers of one feed on one thread are a crowd.
const CROWD: usize = 64;
/// A crowd that was woken is not woken again for so long: to wake it costs more than what it is
/// told, and what is published meanwhile goes out together. An event that comes alone is not
/// delayed.
const REST: Duration = Duration::from_millis(1);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Hub>>> = const { RefCell::new(None) };
}

/// What wakes the followers of one thread.
#[derive(Default)]
pub struct Hub {
    /// Groups with somebody to wake; each stands in it once at most.
    posted: Mutex<Vec<Arc<Group>>>,
    notify: Notify,
}

impl Hub {
    /// Serves the thread that it is called on, for ever: to be spawned on a runtime of one thread.
    pub async fn serve() {
        let hub = Arc::new(Self::default());
        CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(&hub)));
        let _leave = Leave;
        loop {
            hub.notify.notified().await;
            for group in std::mem::take(&mut *hub.posted.lock()) {
                if group.wake_here() >= CROWD && group.begin_rest() {
                    tokio::spawn(rest(group));
                }
            }
        }
    }

    /// That of this thread, if it has one.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    fn post(&self, group: Arc<Group>) {
        self.posted.lock().push(group);
        self.notify.notify_one();
    }
}

/// Lets a crowd that rests do so, again and again for as long as there is something new each time.
async fn rest(group: Arc<Group>) {
    loop {
        tokio::time::sleep(REST).await;
        if !(group.end_rest() && group.begin_rest()) {
            return;
        }
    }
}

/// Takes the hub from its thread when its runtime goes.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        // The thread may be on its way out already.
        let _ = CURRENT.try_with(|current| current.borrow_mut().take());
    }
}

/// The followers of one feed on one thread; or, without a hub, all those on threads that have none.
pub(super) struct Group {
    hub: Option<Arc<Hub>>,
    seats: Mutex<Seats>,
    state: AtomicU8,
}

/// Nobody has been told of anything that is not served yet.
const IDLE: u8 = 0;
/// The hub has been told.
const POSTED: u8 = 1;
/// The group rests.
const RESTING: u8 = 2;
/// It rests, and there is something new.
const AWAITED: u8 = 3;

#[derive(Default)]
struct Seats {
    seats: Vec<Seat>,
    free: Vec<usize>,
    waiting: usize,
}

#[derive(Default)]
struct Seat {
    /// Kept from one event to the next: most followers are woken by the same waker each time.
    waker: Option<Waker>,
    waits: bool,
}

impl Group {
    pub(super) fn new(hub: Option<Arc<Hub>>) -> Arc<Self> {
        Arc::new(Self { hub, seats: Mutex::default(), state: AtomicU8::new(IDLE) })
    }

    pub(super) fn is_of(&self, hub: Option<&Arc<Hub>>) -> bool {
        match (&self.hub, hub) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    pub(super) fn len(&self) -> usize {
        let seats = self.seats.lock();
        seats.seats.len() - seats.free.len()
    }

    /// A place for a waker.
    pub(super) fn sit(&self) -> usize {
        let mut seats = self.seats.lock();
        match seats.free.pop() {
            Some(seat) => seat,
            None => {
                seats.seats.push(Seat::default());
                seats.seats.len() - 1
            }
        }
    }

    /// Gives a place back.
    pub(super) fn leave(&self, seat: usize) {
        let mut seats = self.seats.lock();
        if seats.seats.get_mut(seat).is_some_and(|place| std::mem::take(place).waits) {
            seats.waiting -= 1;
        }
        seats.free.push(seat);
    }

    /// Wakes `waker` at the next event.
    pub(super) fn wait(&self, seat: usize, waker: &Waker) {
        let mut seats = self.seats.lock();
        let Some(place) = seats.seats.get_mut(seat) else { return };
        match &mut place.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if !std::mem::replace(&mut place.waits, true) {
            seats.waiting += 1;
        }
    }

    /// Sees to it that everybody who waits is woken.
    pub(super) fn wake(self: &Arc<Self>) {
        let Some(hub) = &self.hub else {
            self.wake_here();
            return;
        };
        // In one order with the place of the latest event, which a follower looks at after it has
        // sat down to wait.
        let told =
            self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                IDLE => Some(POSTED),
                RESTING => Some(AWAITED),
                _ => None,
            });
        if told == Ok(IDLE) {
            hub.post(Arc::clone(self));
        }
    }

    /// Wakes everybody who waits, and tells how many those were.
    fn wake_here(&self) -> usize {
        // Before the seats are looked at: who comes to wait from now on is posted for anew.
        self.state.store(IDLE, Ordering::SeqCst);
        let mut seats = self.seats.lock();
        let waiting = std::mem::take(&mut seats.waiting);
        if waiting == 0 {
            return 0;
        }
        let woken = |seat: &mut Seat| std::mem::take(&mut seat.waits);
        let wakers = seats
            .seats
            .iter_mut()
            .filter_map(|seat| if woken(seat) { seat.waker.as_ref() } else { None });
        if self.hub.is_some() {
            // Of tasks of this thread's runtime: that runs none of them here and now.
            wakers.for_each(Waker::wake_by_ref);
        } else {
            let wakers: Vec<Waker> = wakers.cloned().collect();
            drop(seats);
            wakers.into_iter().for_each(Waker::wake);
        }
        waiting
    }

    /// Begins to rest; false: it was told of something new already, and is not to.
    fn begin_rest(&self) -> bool {
        self.state.compare_exchange(IDLE, RESTING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends the rest, and wakes everybody who waits if there is something new; tells whether it is
    /// to rest again.
    fn end_rest(&self) -> bool {
        match self.state.compare_exchange(RESTING, IDLE, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => false,
            Err(_) => self.wake_here() >= CROWD,
        }
    }
}
