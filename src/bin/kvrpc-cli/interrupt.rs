//! Ctrl-C while something is waited for.

use tokio::signal;

use super::failure::{Failure, Result};

/// Waits, unless the person at the terminal interrupts it.
pub(super) async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        _ = signal::ctrl_c() => Err(Failure::interrupted()),
    }
}
