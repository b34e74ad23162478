//! Wakeups between threads, at most one for each waker set that has something to wake.
//!
//! Waking a task of another thread's runtime takes a lock and perhaps a system call. So the
//! followers of a feed on one thread are one [`WakerSet`]: a publisher posts the set once to that
//! thread's [`ThreadWaker`], which wakes its followers on their own thread, where that is cheap.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::waker_set::WakerSet;

thread_local! {
    static CURRENT: RefCell<Option<Arc<ThreadWaker>>> = const { RefCell::new(None) };
}

/// Wakes the followers of one thread.
#[derive(Default)]
pub struct ThreadWaker {
    /// Sets with followers to wake; each is in it at most once.
    posted: Mutex<Vec<Arc<WakerSet>>>,
    notify: Notify,
}

impl ThreadWaker {
    /// Serves the current thread, for ever. Must be spawned on a runtime of one thread.
    pub async fn serve() {
        let thread = Arc::new(Self::default());
        CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(&thread)));
        let _unset = UnsetCurrent;
        loop {
            thread.notify.notified().await;
            for set in std::mem::take(&mut *thread.posted.lock()) {
                set.wake_and_throttle();
            }
        }
    }

    /// Returns the one that serves this thread, if any.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(super) fn post(&self, set: Arc<WakerSet>) {
        self.posted.lock().push(set);
        self.notify.notify_one();
    }
}

/// Clears [`CURRENT`] when the runtime of the thread ends.
struct UnsetCurrent;

impl Drop for UnsetCurrent {
    fn drop(&mut self) {
        // The thread may be ending already.
        let _ = CURRENT.try_with(|current| current.borrow_mut().take());
    }
}
