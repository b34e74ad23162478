//! The threads that serve connections: one current-thread runtime each.
//!
//! Measured faster than one runtime with several threads, and than one listener per thread
//! (`SO_REUSEPORT`): a connection stays on its core, and every core gets the same number.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::supervisor::{Failures, Restart, keep};
use super::{AcceptedConnection, ConnectionHandler, Permit};

/// Maximum number of accepted connections that wait for one worker. A worker with a full queue is
/// skipped.
const QUEUE: usize = 256;
/// Maximum wait of the accept loop for a worker when all queues are full.
const PATIENCE: Duration = Duration::from_secs(1);

/// Task that runs on each worker beside its connections, and must not end before them.
pub type BackgroundTask = fn() -> BoxFuture<'static, ()>;

/// An accepted connection on its way to a worker.
pub(super) struct Job {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) permit: Permit,
    pub(super) handler: Arc<dyn ConnectionHandler>,
}

/// Queues of the workers. A worker finishes once every clone is dropped and all its connections
/// have ended.
#[derive(Clone)]
pub(super) struct Workers {
    queues: Vec<mpsc::Sender<Job>>,
    next: usize,
}

/// Completes, with an error, when a worker's thread has finished and dropped the sender.
pub(super) type Finished = oneshot::Receiver<()>;

impl Workers {
    /// Starts `count` threads, each with a `background` task. `draining` is passed to each
    /// connection; `abort` ends all of them where they are.
    pub(super) fn start(
        name: &str,
        count: usize,
        background: BackgroundTask,
        draining: &CancellationToken,
        abort: &CancellationToken,
        failures: &Failures,
    ) -> io::Result<(Self, Vec<Finished>)> {
        let mut queues = Vec::with_capacity(count);
        let mut finished = Vec::with_capacity(count);
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (queue, jobs) = mpsc::channel(QUEUE);
            let (done, waiter) = oneshot::channel();
            let name = format!("{name}-{index}");
            let worker = Worker {
                background,
                draining: draining.clone(),
                abort: abort.clone(),
                failures: failures.clone(),
            };
            thread::Builder::new().name(name.clone()).spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| worker.work(runtime, jobs))).is_err() {
                    worker.failures.report(format!("the thread {name} panicked"));
                }
                drop(done);
            })?;
            queues.push(queue);
            finished.push(waiter);
        }
        Ok((Self { queues, next: 0 }, finished))
    }

    /// Passes a connection to the next worker with room in its queue. If there is none, waits for
    /// the worker whose turn it is: during a burst the system keeps the connections behind this
    /// one. Returns false, and closes the connection, if that takes longer than [`PATIENCE`].
    pub(super) async fn deal(&mut self, mut job: Job) -> bool {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let Some(queue) = self.queues.get(self.next) else { return false };
            match queue.try_send(job) {
                Ok(()) => return true,
                Err(
                    mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
                ) => job = back,
            }
        }
        let Some(queue) = self.queues.get(self.next) else { return false };
        matches!(timeout(PATIENCE, queue.send(job)).await, Ok(Ok(())))
    }
}

/// One worker thread.
struct Worker {
    background: BackgroundTask,
    draining: CancellationToken,
    abort: CancellationToken,
    failures: Failures,
}

impl Worker {
    fn work(&self, runtime: Runtime, mut jobs: mpsc::Receiver<Job>) {
        let connections = TaskTracker::new();
        runtime.block_on(async {
            let background = self.background;
            tokio::spawn(keep(
                "the background task of a worker".to_owned(),
                Restart::Never,
                self.abort.clone(),
                self.failures.clone(),
                move |_| Box::pin(background().map(Ok)),
            ));
            let all = async {
                while let Some(job) = jobs.recv().await {
                    connections.spawn(serve(job, self.draining.clone()));
                }
                connections.close();
                connections.wait().await;
            };
            tokio::select! {
                () = all => {}
                () = self.abort.cancelled() => {}
            }
        });
        // Drops what is left, and does not wait for blocking work that cannot be cancelled.
        runtime.shutdown_background();
    }
}

async fn serve(job: Job, draining: CancellationToken) {
    let Job { stream, peer, local, mut permit, handler } = job;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "a connection could not be registered with its worker");
            return;
        }
    };
    let evicted = permit.evicted();
    let mut serving = handler.serve(AcceptedConnection { stream, peer, local, permit, draining });
    if let Some(evicted) = evicted {
        tokio::select! {
            () = &mut serving => return,
            evicted = evicted => if evicted.is_ok() {
                return tracing::debug!(%peer, "closed, having never spoken, for somebody new");
            }
        }
    }
    // Active connections are not closed in favour of others: the receiver is dropped, and the task
    // is woken by the connection alone.
    serving.await;
}

#[cfg(test)]
mod tests {
    use super::super::ConnectionLimiter;
    use super::super::handler::tests::Closes;
    use super::*;

    fn job(listener: &std::net::TcpListener, limiter: &Arc<ConnectionLimiter>) -> Job {
        let local = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(local).unwrap();
        let peer = stream.local_addr().unwrap();
        Job {
            stream,
            peer,
            local,
            permit: limiter.admit(peer).ok().unwrap(),
            handler: Arc::new(Closes),
        }
    }

    /// A burst of connections used to be closed when all queues were full.
    #[tokio::test]
    async fn a_burst_waits_for_a_worker_and_is_not_closed() {
        let (queue, mut jobs) = mpsc::channel(1);
        let mut workers = Workers { queues: vec![queue], next: 0 };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let limiter = ConnectionLimiter::new("test", 10);
        assert!(workers.deal(job(&listener, &limiter)).await);
        let mut second = Box::pin(workers.deal(job(&listener, &limiter)));
        assert_eq!(second.as_mut().now_or_never(), None, "it waits");
        let first = jobs.recv().await;
        assert!(second.await && first.is_some());
        assert!(jobs.recv().await.is_some());
    }
}
