//! Background tasks such as sweepers and reporters.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{MissedTickBehavior, interval};

/// A task on the main runtime, from the start of serving until the server has stopped; it is
/// dropped then.
pub struct Task(BoxFuture<'static, ()>);

impl Task {
    /// Creates a task from a future, which need not end.
    pub fn once(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// Creates a task that calls `work` every `period`, first after one period. A panic in `work`
    /// is logged, and the next call follows as usual.
    pub fn every(
        name: &'static str,
        period: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> Self {
        Self(Box::pin(async move {
            let mut ticks = interval(period);
            // Missed calls are not made up for: a single sweep covers everything.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                    tracing::error!(task = name, "a periodic task panicked; it goes on");
                }
            }
        }))
    }

    pub(super) fn into_future(self) -> BoxFuture<'static, ()> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_panic_does_not_end_a_periodic_task() {
        let (turn, mut turns) = mpsc::channel(3);
        let mut count = 0;
        let task = Task::every("test", Duration::from_millis(1), move || {
            count += 1;
            turn.try_send(count).unwrap();
        });
        let running = tokio::spawn(task.into_future());
        // The channel is full after three calls: the fourth panics, and so do all until it is read.
        for wanted in 1..=3 {
            assert_eq!(timeout(Duration::from_secs(5), turns.recv()).await.unwrap(), Some(wanted));
        }
        assert!(timeout(Duration::from_secs(5), turns.recv()).await.unwrap() > Some(3));
        running.abort();
    }
}
