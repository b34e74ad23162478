//! Open listeners, and the order in which they close.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::accept::Acceptor;
use super::supervisor::{Failures, Restart, Supervisor};
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
    acceptors: Supervisor,
    draining: CancellationToken,
    abort: CancellationToken,
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
    /// on the current runtime. `background` must not end; that, or an accept loop that cannot go
    /// on, is reported to `failures`.
    ///
    /// # Errors
    /// The system has no thread or descriptor left for a worker.
    pub fn start(
        name: &str,
        threads: usize,
        background: BackgroundTask,
        endpoints: Vec<Endpoint>,
        failures: &Failures,
    ) -> io::Result<Self> {
        let (draining, abort) = (CancellationToken::new(), CancellationToken::new());
        let (workers, finished) =
            Workers::start(name, threads.max(1), background, &draining, &abort, failures)?;
        let acceptors = Supervisor::new(failures);
        let mut limiters = Vec::with_capacity(endpoints.len());
        for Endpoint { bound, handler, limiter } in endpoints {
            for bound in bound {
                let name = format!("the accept loop of {} on {}", limiter.name(), bound.local());
                let (handler, limiter) = (Arc::clone(&handler), Arc::clone(&limiter));
                let workers = workers.clone();
                acceptors.keep(name, Restart::Limited, move |stop| {
                    let (handler, limiter) = (Arc::clone(&handler), Arc::clone(&limiter));
                    // The socket stays open from one run to the next.
                    let (bound, workers) = (bound.try_clone(), workers.clone());
                    Box::pin(async move {
                        Acceptor::new(bound?, handler, limiter, workers)?.run(stop).await
                    })
                });
            }
            limiters.push(limiter);
        }
        Ok(Self { acceptors, draining, abort, workers: finished, limiters })
    }

    /// Returns the supervisor of the accept loops, for other tasks that end when they do.
    pub const fn acceptors(&self) -> &Supervisor {
        &self.acceptors
    }

    /// Stops accepting, lets the connections finish for at most `grace`, then cuts the rest.
    pub async fn drain(mut self, grace: Duration) -> Drained {
        self.acceptors.stop().await;
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
        self.abort.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use socket2::SockRef;

    use super::super::bind;
    use super::super::handler::tests::Closes;
    use super::*;

    /// An accept loop that could not go on warned for ever, and the server went on without it.
    #[tokio::test]
    async fn a_listener_that_accepts_no_more_is_a_failure_of_the_server() {
        let bound = bind("--listen", &"127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = bound[0].socket.try_clone().unwrap();
        let (handler, limiter) = (Arc::new(Closes), ConnectionLimiter::new("test", 10));
        let endpoint = Endpoint { bound, handler, limiter };
        let failures = Failures::default();
        let background: BackgroundTask = || Box::pin(std::future::pending());
        let set = ListenerSet::start("test", 1, background, vec![endpoint], &failures).unwrap();
        // accept(2) fails with EINVAL from now on.
        SockRef::from(&socket).shutdown(Shutdown::Both).unwrap();
        let reason = timeout(Duration::from_secs(20), failures.first()).await.unwrap();
        assert!(reason.starts_with("the accept loop of test on 127.0.0.1:"), "{reason}");
        assert_eq!(set.drain(Duration::from_secs(20)).await, Drained::Clean);
    }
}
