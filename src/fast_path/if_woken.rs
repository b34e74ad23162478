//! A future that is polled only after it was woken, beside one that is polled often.
//!
//! A task that is woken for one of several futures polls them all, since it cannot tell which one
//! it was. On a connection that is woken for each request, that would read every timer and token
//! that may end it, each in a cache line of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::waker::CoalescingWaker;

/// Polls the inner future only after its own waker has fired.
pub(crate) struct PollIfWoken<F> {
    future: Pin<Box<F>>,
    coalescing: Arc<CoalescingWaker>,
}

impl<F: Future> PollIfWoken<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Box::pin(future), coalescing: Arc::new(CoalescingWaker::woken()) }
    }
}

impl<F: Future> Future for PollIfWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Before the check: a wake-up from now on wakes this task.
        this.coalescing.register(context.waker());
        if !this.coalescing.take() {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&this.coalescing));
        this.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn it_is_polled_when_it_was_woken_and_wakes_the_task_that_polled_it_last() {
        let (polls, notify) = (AtomicUsize::new(0), Notify::new());
        let mut notified = Box::pin(notify.notified());
        let mut if_woken = PollIfWoken::new(std::future::poll_fn(|context| {
            polls.fetch_add(1, Ordering::SeqCst);
            notified.as_mut().poll(context)
        }));
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut poll = |task: &Arc<Count>| {
            Pin::new(&mut if_woken).poll(&mut Context::from_waker(&Waker::from(Arc::clone(task))))
        };
        for task in [&first, &first, &second, &second] {
            assert!(poll(task).is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), 1);
        }
        notify.notify_waiters();
        assert_eq!((first.get(), second.get()), (0, 1));
        assert!(poll(&second).is_ready());
    }
}
