//! Signal that a connection is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

/// Sent once, when a connection is about to end, to everything that still runs on it. Clones share
/// the signal.
///
/// A flag is kept beside the token because streams check it with each event, and the token would
/// take a lock each time.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<ClosingState>);

#[derive(Debug, Default)]
struct ClosingState {
    begun: AtomicBool,
    token: CancellationToken,
}

impl Closing {
    /// Sends the signal.
    pub fn cancel(&self) {
        self.0.begun.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Returns true once the signal was sent.
    pub fn is_cancelled(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Waits for the signal.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.0.token.cancelled()
    }

    /// Waits for the signal, without a borrow.
    pub fn cancelled_owned(&self) -> WaitForCancellationFutureOwned {
        self.0.token.clone().cancelled_owned()
    }
}
