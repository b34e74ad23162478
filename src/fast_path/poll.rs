//! One poll of a future by somebody who cannot be woken.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

/// Polls a future once, with a waker that wakes nobody.
///
/// Most calls are answered at their first poll; those need no task. The contract: a caller that
/// gets [`Poll::Pending`] polls the future again with a waker of its own, before it waits for
/// anything. A future registers the waker of its latest poll, so no wake-up is lost.
///
/// # Errors
/// The payload of a panic, which is the future's own and not its caller's.
pub(crate) fn poll_once<F: Future + ?Sized>(
    future: Pin<&mut F>,
) -> thread::Result<Poll<F::Output>> {
    let mut nobody = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| future.poll(&mut nobody)))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_future_that_is_polled_again_is_woken() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut receiver = pin!(receiver);
        assert!(matches!(poll_once(receiver.as_mut()), Ok(Poll::Pending)));
        tokio::task::yield_now().await;
        let sending = tokio::spawn(async move { sender.send(7) });
        assert_eq!(receiver.await, Ok(7));
        assert_eq!(sending.await.unwrap(), Ok(()));
    }

    #[test]
    fn a_panic_is_the_futures_own() {
        let mut panics = pin!(async { panic!("no") });
        assert!(poll_once(panics.as_mut()).is_err());
    }
}
