//! Waking many on many threads.
//!
//! To wake a task of another thread's runtime costs a lock and perhaps a system call. So the followers of one thread are one group: whoever publishes
//! posts the group to that thread's hub, once, and the hub wakes its members where that is cheap.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

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
                group.wake_here();
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
    posted: AtomicBool,
}

#[derive(Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
    waiting: usize,
}

impl Group {
    pub(super) fn new(hub: Option<Arc<Hub>>) -> Arc<Self> {
        Arc::new(Self { hub, seats: Mutex::default(), posted: AtomicBool::new(false) })
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
        seats.wakers.len() - seats.free.len()
    }

    /// A place for a waker.
    pub(super) fn sit(&self) -> usize {
        let mut seats = self.seats.lock();
        match seats.free.pop() {
            Some(seat) => seat,
            None => {
                seats.wakers.push(None);
                seats.wakers.len() - 1
            }
        }
    }

    /// Gives a place back.
    pub(super) fn leave(&self, seat: usize) {
        let mut seats = self.seats.lock();
        if seats.wakers.get_mut(seat).is_some_and(|waker| waker.take().is_some()) {
            seats.waiting -= 1;
        }
        seats.free.push(seat);
    }

    /// Wakes `waker` at the next event.
    pub(super) fn wait(&self, seat: usize, waker: &Waker) {
        let mut seats = self.seats.lock();
        let Some(place) = seats.wakers.get_mut(seat) else { return };
        match place {
            Some(old) => old.clone_from(waker),
            None => {
                *place = Some(waker.clone());
                seats.waiting += 1;
            }
        }
    }

    /// Sees to it that everybody who waits is woken.
    pub(super) fn wake(self: &Arc<Self>) {
        match &self.hub {
            Some(hub) => {
                // In one order with the place of the latest event, which a follower looks at after it has sat down to wait.
                if !self.posted.swap(true, Ordering::SeqCst) {
                    hub.post(Arc::clone(self));
                }
            }
            None => self.wake_here(),
        }
    }

    fn wake_here(&self) {
        // Before the wakers are taken: who comes to wait from now on is posted for anew.
        self.posted.store(false, Ordering::SeqCst);
        let wakers: Vec<Waker> = {
            let mut seats = self.seats.lock();
            if seats.waiting == 0 {
                return;
            }
            seats.waiting = 0;
            seats.wakers.iter_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}
