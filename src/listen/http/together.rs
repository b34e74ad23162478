//! Runs the requests that arrived together on an HTTP/2 connection right there, before their answers are flushed.
//!
//! hyper hands each request to an executor, which would make a task of it: an allocation more, a turn of the scheduler and a wake each. Most requests
//! are answered at their first poll. So they are kept until the connection has taken in all that came, then polled once, and only those that have to
//! wait become tasks.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

use super::drive::Graceful;

type Arrived = Vec<Pin<Box<dyn Future<Output = ()> + Send>>>;

thread_local! {
    /// What the connection that is polled on this thread has got; `None`: none is.
    static ARRIVED: RefCell<Option<Arrived>> = const { RefCell::new(None) };
    /// An empty list, for its memory: all connections of the thread have the same, which the processor's caches hold.
    static SPARE: RefCell<Arrived> = const { RefCell::new(Vec::new()) };
}

/// Keeps what the connection under way on this thread hands over; spawns everything else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Together {
    fn execute(&self, future: F) {
        ARRIVED.with_borrow_mut(|arrived| match arrived {
            Some(arrived) => arrived.push(Box::pin(future)),
            None => drop(tokio::spawn(future)),
        });
    }
}

/// A connection whose executor is [`Together`].
pub(super) struct Driven<C>(C);

impl<C> Driven<C> {
    pub(super) fn new(connection: C) -> Self {
        Self(connection)
    }
}

/// Takes the list back, however the poll ends.
struct Collecting;

impl Collecting {
    fn into(list: Arrived) -> Self {
        ARRIVED.replace(Some(list));
        Self
    }

    fn take(&self) -> Arrived {
        ARRIVED.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        ARRIVED.take();
    }
}

impl<C: Future + Unpin> Future for Driven<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let collecting = Collecting::into(SPARE.take());
        let polled = Pin::new(&mut self.0).poll(context);
        let mut arrived = collecting.take();
        // What has to wait becomes a task, which polls it once more: from then on it is that one which is woken.
        let mut nobody = Context::from_waker(Waker::noop());
        for mut request in arrived.drain(..) {
            // As in a task of its own, a panic ends this request alone.
            if let Ok(Poll::Pending) = catch_unwind(AssertUnwindSafe(|| request.as_mut().poll(&mut nobody))) {
                tokio::spawn(request);
            }
        }
        SPARE.set(arrived);
        polled
    }
}

impl<C: Graceful + Unpin> Graceful for Driven<C> {
    fn graceful(mut self: Pin<&mut Self>) {
        Pin::new(&mut self.0).graceful();
    }
}
