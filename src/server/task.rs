//! Background tasks such as sweepers and reporters.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::listen::{Restart, Run, Supervisor};

/// A task on the main runtime, which must not end before it is stopped; it is dropped then.
pub struct Task {
    name: &'static str,
    restart: Restart,
    start: Box<dyn FnMut() -> Run + Send>,
}

impl Task {
    /// Creates a task that runs what `start` returns. If that ends or panics, it is started again
    /// some times; then the server stops with an error.
    pub fn kept<F>(name: &'static str, mut start: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self { name, restart: Restart::Limited, start: Box::new(move || Box::pin(start())) }
    }

    /// Creates a task that calls `work` every `period`, first after one period. After a panic in
    /// `work` it goes on, however often that happens.
    pub fn every(
        name: &'static str,
        period: Duration,
        work: impl FnMut() + Send + 'static,
    ) -> Self {
        let work = Arc::new(Mutex::new(work));
        let start = move || -> Run {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let mut ticks = interval(period);
                // Missed calls are not made up for: a single sweep covers everything.
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                ticks.tick().await;
                loop {
                    ticks.tick().await;
                    (work.lock())();
                }
            })
        };
        Self { name, restart: Restart::Always, start: Box::new(start) }
    }

    /// Hands the task over to a supervisor, which drops it at its end.
    pub(super) fn run_by(self, supervisor: &Supervisor) {
        let Self { name, restart, mut start } = self;
        supervisor.keep(format!("the task `{name}`"), restart, move |stop| {
            let run = start();
            Box::pin(async move { stop.run_until_cancelled_owned(run).await.unwrap_or(Ok(())) })
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::listen::Failures;

    #[tokio::test]
    async fn a_panic_does_not_end_a_periodic_task() {
        let (turn, mut turns) = mpsc::channel(3);
        let mut count = 0;
        let task = Task::every("test", Duration::from_millis(1), move || {
            count += 1;
            turn.try_send(count).unwrap();
        });
        let supervisor = Supervisor::new(&Failures::default());
        task.run_by(&supervisor);
        // The channel is full after three calls: the fourth panics, and so do all until it is read.
        for wanted in 1..=3 {
            assert_eq!(timeout(Duration::from_secs(5), turns.recv()).await.unwrap(), Some(wanted));
        }
        assert!(timeout(Duration::from_secs(5), turns.recv()).await.unwrap() > Some(3));
    }
}
