//! Doors that are open, and the order in which they close.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::workers::{Beside, Finished, Workers};
use super::{Bound, Door, Gate};

/// What the threads get to end, after everything on them was told to end at once.
const ABORT: Duration = Duration::from_secs(1);

/// A door that is about to open: its listeners, who serves them, and who gets in.
pub struct Opening {
    /// Bound, and not yet accepting.
    pub bound: Vec<Bound>,
    /// Serves the connections.
    pub door: Arc<dyn Door>,
    /// Counts them.
    pub gate: Arc<Gate>,
}

/// Doors that share one set of threads. Dropped, they end at once.
pub struct Listening {
    stop: CancellationToken,
    draining: CancellationToken,
    abort: CancellationToken,
    acceptors: TaskTracker,
    workers: Vec<Finished>,
    gates: Vec<Arc<Gate>>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection came to its end.
    Clean,
    /// The grace period did, with so many connections left, which were cut.
    Forced {
        /// How many connections were cut.
        left: usize,
    },
}

impl Listening {
    /// Starts `threads` workers with `beside` on each, and accepts on the current runtime.
    ///
    /// # Errors
    /// The system has no thread or no descriptor for a worker.
    pub fn start(
        name: &str,
        threads: usize,
        beside: Beside,
        doors: Vec<Opening>,
    ) -> io::Result<Self> {
        let (stop, draining, abort) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (workers, finished) = Workers::start(name, threads.max(1), beside, &draining, &abort)?;
        let acceptors = TaskTracker::new();
        let mut gates = Vec::with_capacity(doors.len());
        for Opening { bound, door, gate } in doors {
            for bound in bound {
                let acceptor =
                    Acceptor::new(bound, Arc::clone(&door), Arc::clone(&gate), workers.clone())?;
                acceptors.spawn(acceptor.run(stop.clone()));
            }
            gates.push(gate);
        }
        acceptors.close();
        Ok(Self { stop, draining, abort, acceptors, workers: finished, gates })
    }

    /// Stops accepting, lets the connections finish for at most `grace`, then cuts the rest.
    pub async fn drain(mut self, grace: Duration) -> Drained {
        self.stop.cancel();
        self.acceptors.wait().await;
        self.draining.cancel();
        let workers = std::mem::take(&mut self.workers);
        let mut all = join_all(workers);
        if timeout(grace, &mut all).await.is_ok() {
            return Drained::Clean;
        }
        let left = self.gates.iter().map(|gate| gate.stats().open).sum();
        self.abort.cancel();
        if timeout(ABORT, all).await.is_err() {
            tracing::warn!("a worker did not stop when told to; its thread ends with the process");
        }
        Drained::Forced { left }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}
