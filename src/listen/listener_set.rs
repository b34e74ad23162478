//! Open listeners, and the order in which they close.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::workers::{BackgroundTask, Finished, Workers};
use super::{Bound, ConnectionHandler, ConnectionLimiter};

/// Time for the worker threads to end after they were told to end at once.
const ABORT: Duration = Duration::from_secs(1);

/// A protocol's bound sockets, with the handler and the limiter of their connections.
pub struct Endpoint {
    /// Bound sockets that do not accept yet.
    pub bound: Vec<Bound>,
    /// Serves the connections.
    pub handler: Arc<dyn ConnectionHandler>,
    /// Limits the connections.
    pub limiter: Arc<ConnectionLimiter>,
}

/// Listeners that share one set of worker threads. All of them end at once on drop.
pub struct ListenerSet {
    stop: CancellationToken,
    draining: CancellationToken,
    abort: CancellationToken,
    acceptors: TaskTracker,
    workers: Vec<Finished>,
    limiters: Vec<Arc<ConnectionLimiter>>,
}

/// Outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All connections ended by themselves.
    Clean,
    /// The grace period ended first, and the remaining connections were cut.
    Forced {
        /// Number of connections that were cut.
        left: usize,
    },
}

impl ListenerSet {
    /// Starts `threads` workers, each with `background` as a further task, and accepts connections
    /// on the current runtime.
    ///
    /// # Errors
    /// The system has no thread or descriptor left for a worker.
    pub fn start(
        name: &str,
        threads: usize,
        background: BackgroundTask,
        endpoints: Vec<Endpoint>,
    ) -> io::Result<Self> {
        let (stop, draining, abort) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (workers, finished) =
            Workers::start(name, threads.max(1), background, &draining, &abort)?;
        let acceptors = TaskTracker::new();
        let mut limiters = Vec::with_capacity(endpoints.len());
        for Endpoint { bound, handler, limiter } in endpoints {
            for bound in bound {
                let acceptor = Acceptor::new(
                    bound,
                    Arc::clone(&handler),
                    Arc::clone(&limiter),
                    workers.clone(),
                )?;
                acceptors.spawn(acceptor.run(stop.clone()));
            }
            limiters.push(limiter);
        }
        acceptors.close();
        Ok(Self { stop, draining, abort, acceptors, workers: finished, limiters })
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
        let left = self.limiters.iter().map(|limiter| limiter.stats().open).sum();
        self.abort.cancel();
        if timeout(ABORT, all).await.is_err() {
            tracing::warn!("a worker did not stop when told to; its thread ends with the process");
        }
        Drained::Forced { left }
    }
}

impl Drop for ListenerSet {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}
