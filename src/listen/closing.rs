//! Signal that a connection is about to end.

use std::sync::Arc;
use std::sync::OnceLock;

use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

/// Reason that a connection is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server stops.
    Stop,
    /// The connection is old.
    Age,
}

/// Sent once, when a connection is about to end, to everything that still runs on it. Clones share
/// the signal.
///
/// The cause is kept beside the token because streams check it with each event, and the token would
/// take a lock each time.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<ClosingState>);

#[derive(Debug, Default)]
struct ClosingState {
    cause: OnceLock<Cause>,
    token: CancellationToken,
}

impl Closing {
    /// Sends the signal. The first cause is kept.
    pub fn cancel(&self, cause: Cause) {
        let _ = self.0.cause.set(cause);
        self.0.token.cancel();
    }

    /// Returns true once the signal was sent.
    pub fn is_cancelled(&self) -> bool {
        self.cause().is_some()
    }

    /// Returns the cause once the signal was sent.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.get().copied()
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
