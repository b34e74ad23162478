//! A waker that records wake-ups, for a future that polls another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const WOKEN: u8 = 2;

/// True if a future wants to be polled. Its task is woken once for that, and not while it runs.
#[derive(Default)]
pub(crate) struct CoalescingWaker {
    state: AtomicU8,
    task: AtomicWaker,
}

impl CoalescingWaker {
    /// Returns one that has been woken, for a first poll.
    pub(crate) fn woken() -> Self {
        Self { state: AtomicU8::new(WOKEN), task: AtomicWaker::new() }
    }

    /// Records wake-ups from now until [`take`](Self::take), without waking the task.
    pub(crate) fn begin(&self) {
        self.state.store(RUNNING, Ordering::Release);
    }

    /// Returns true if there was a wake-up since the last call. From now on a wake-up wakes the
    /// task.
    pub(crate) fn take(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }

    /// Sets the task that is woken from now on.
    pub(crate) fn register(&self, task: &Waker) {
        self.task.register(task);
    }
}

impl Wake for CoalescingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == IDLE {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_only_while_it_does_not_run() {
        let (waking, wakes) = (Arc::new(CoalescingWaker::default()), Arc::new(Wakes::default()));
        waking.register(&Waker::from(Arc::clone(&wakes)));
        let waker = Waker::from(Arc::clone(&waking));

        waking.begin();
        assert!(!waking.take());
        waking.begin();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(waking.take(), "it was woken while it ran");
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);

        waker.wake_by_ref();
        waker.wake();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "it is woken while it does not, once");
        assert!(waking.take());
    }
}
