//! The word that a connection is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

/// Given once, when a connection is about to end, to all that still runs on it. Clones are the same
/// word.
///
/// A flag beside the token, since streams look at it with each event, and the token would lock each
/// time.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: AtomicBool,
    token: CancellationToken,
}

impl Closing {
    /// Gives the word.
    pub fn cancel(&self) {
        self.0.begun.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Whether it was given.
    pub fn is_cancelled(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Waits for it.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.0.token.cancelled()
    }

    /// The same, without a borrow.
    pub fn cancelled_owned(&self) -> WaitForCancellationFutureOwned {
        self.0.token.clone().cancelled_owned()
    }
}
