//! Supervision of the tasks that must not end before the server stops: accept loops, datagram
//! listeners, sweeps, the reload of certificates.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::SetOnce;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Wait before the first restart; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Number of restarts in a row after which a task is given up, and the wait grows no more.
const RESTARTS: u32 = 5;
/// Time after which a running task counts as well, and its restarts are counted anew.
const SETTLED: Duration = Duration::from_secs(60);

/// One run of a task.
pub type Run = BoxFuture<'static, io::Result<()>>;

/// Rule for a task that has ended or panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The server cannot go on without it.
    Never,
    /// It is started again, unless it ends time after time.
    Limited,
    /// It is started again, however often.
    Always,
}

/// The first failure that the server cannot go on with. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<SetOnce<String>>);

impl Failures {
    /// Reports a failure, with a sentence.
    pub fn report(&self, reason: String) {
        tracing::error!("{reason}");
        // A later failure would be a consequence of the first.
        let _ = self.0.set(reason);
    }

    /// Waits for the first failure.
    pub async fn first(&self) -> String {
        self.0.wait().await.clone()
    }
}

/// Tasks with a common end, which is also that of their supervisor.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    tasks: TaskTracker,
    failures: Failures,
}

impl Supervisor {
    /// Creates a supervisor without tasks.
    pub fn new(failures: &Failures) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { stop, tasks, failures: failures.clone() }
    }

    /// Runs a task on the current runtime. Each run gets the signal that it is to end.
    pub fn keep(
        &self,
        name: String,
        restart: Restart,
        start: impl FnMut(CancellationToken) -> Run + Send + 'static,
    ) {
        self.tasks.spawn(keep(name, restart, self.stop.clone(), self.failures.clone(), start));
    }

    /// Tells all tasks to end, and waits until they have.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs a task until `stop`. A run that ends before is followed by another, or is a failure.
pub(super) async fn keep(
    name: String,
    restart: Restart,
    stop: CancellationToken,
    failures: Failures,
    mut start: impl FnMut(CancellationToken) -> Run + Send,
) {
    let mut restarts = 0;
    loop {
        let begun = Instant::now();
        let run = AssertUnwindSafe(async { start(stop.clone()).await }).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        let end = match run {
            Ok(Ok(())) => "ended".to_owned(),
            Ok(Err(error)) => format!("failed: {error}"),
            Err(_) => "panicked".to_owned(),
        };
        if begun.elapsed() >= SETTLED {
            restarts = 0;
        }
        let given_up = match restart {
            Restart::Never => true,
            Restart::Limited => restarts == RESTARTS,
            Restart::Always => false,
        };
        if given_up {
            return failures.report(format!("{name} {end}; {restarts} restarts did not help"));
        }
        let wait = FIRST_WAIT * 2_u32.pow(restarts);
        restarts = RESTARTS.min(restarts + 1);
        tracing::error!(?wait, "{name} {end}; it is started again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Returns a task that sends the number of each run, and panics or ends in turn.
    fn unlucky() -> (impl FnMut(CancellationToken) -> Run + Send + 'static, mpsc::Receiver<u32>) {
        let (run, runs) = mpsc::channel(100);
        let mut count = 0;
        let start = move |_| -> Run {
            let run = run.clone();
            count += 1;
            let number = count;
            Box::pin(async move {
                run.send(number).await.unwrap();
                assert!(number % 2 == 0, "every other run panics");
                Ok(())
            })
        };
        (start, runs)
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_restarted_and_given_up_in_the_end() {
        let failures = Failures::default();
        let supervisor = Supervisor::new(&failures);
        let (start, mut runs) = unlucky();
        supervisor.keep("the test".to_owned(), Restart::Limited, start);
        for wanted in 1..=1 + RESTARTS {
            assert_eq!(timeout(PATIENCE, runs.recv()).await.unwrap(), Some(wanted));
        }
        let reason = timeout(PATIENCE, failures.first()).await.unwrap();
        assert_eq!(reason, "the test ended; 5 restarts did not help");
        assert_eq!(runs.recv().await, None, "it is not started again");
    }

    #[tokio::test]
    async fn a_task_without_restart_is_a_failure_at_once_and_one_that_was_told_to_end_is_none() {
        let failures = Failures::default();
        let supervisor = Supervisor::new(&failures);
        let (begun, mut running) = mpsc::channel(1);
        supervisor.keep("the obedient".to_owned(), Restart::Never, move |stop| {
            let begun = begun.clone();
            Box::pin(async move {
                begun.send(()).await.map_err(io::Error::other)?;
                stop.cancelled().await;
                Ok(())
            })
        });
        timeout(PATIENCE, running.recv()).await.unwrap();
        timeout(PATIENCE, supervisor.stop()).await.unwrap();
        assert!(failures.0.get().is_none());

        let supervisor = Supervisor::new(&failures);
        let (start, _runs) = unlucky();
        supervisor.keep("the test".to_owned(), Restart::Never, start);
        let reason = timeout(PATIENCE, failures.first()).await.unwrap();
        assert_eq!(reason, "the test panicked; 0 restarts did not help");
    }
}
