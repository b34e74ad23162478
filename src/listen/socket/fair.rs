//! The fair scheduler of all socket connections: permits for long work, and the memory budget for
//! replies that clients have not read.
//!
//! A connection that asks for little and then waits needs neither. One that works without a pause
//! needs a permit, of which there are as many as threads. So however many such clients there are,
//! no other waits for more than a few of their steps, and only a few long replies are being
//! produced at a time. The bytes that a client does not take at once count against the budget in
//! [`FairScheduler::send`]; while that is half full, no permits are given.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::WRITE_TIMEOUT;
use crate::listen::unsent::MemoryBudget;

/// Maximum size of all replies that are produced and not yet read, in bytes. Beyond it, the
/// connection that has waited longest is closed.
const MAX_UNSENT_BYTES: usize = 64 << 20;
/// Number of steps without a pause that need no permit. A step is a command, a request, or
/// [`STEP_BYTES`] of a reply.
const FREE_STEPS: usize = 16;
/// Number of steps after which a connection yields to the others on its thread.
const SLICE_STEPS: usize = 8;
/// Number of reply bytes that count as a step.
const STEP_BYTES: usize = 4 << 10;
/// Size of input that needs a permit before it is decoded, in bytes.
const LONG_INPUT_BYTES: usize = 16 << 10;
/// Maximum wait for a permit. Steps are short, so a longer wait means that the server is stuck.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Permits and reply memory shared by all connections.
pub struct FairScheduler {
    permits: Arc<Semaphore>,
    unsent: Arc<MemoryBudget>,
}

impl FairScheduler {
    /// Creates a scheduler for connections on `threads` threads.
    pub fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(threads.max(1))),
            unsent: MemoryBudget::new(MAX_UNSENT_BYTES),
        })
    }

    /// Runs `sending`, which sends a reply of `bytes` bytes.
    ///
    /// # Errors
    /// The error of `sending`; a timeout, or `OutOfMemory` when other connections need the memory,
    /// if the client does not read the reply.
    pub(super) async fn send<E: From<io::Error>>(
        &self,
        bytes: usize,
        budget: &mut WorkBudget,
        sending: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let mut sending = pin!(sending);
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent;
        }
        budget.reset();
        let evicted = CancellationToken::new();
        let _held = self.unsent.reserve(bytes, &evicted);
        tokio::select! {
            biased;
            () = evicted.cancelled() => {
                let why = "it reads too slowly, and the memory for replies is needed";
                Err(io::Error::new(io::ErrorKind::OutOfMemory, why).into())
            }
            sent = timeout(WRITE_TIMEOUT, sending) => {
                sent.map_err(|elapsed| E::from(elapsed.into()))?
            }
        }
    }
}

/// Work that a connection has done since it last waited for its client, and its permit.
pub(super) struct WorkBudget {
    scheduler: Arc<FairScheduler>,
    steps: usize,
    since_slice: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl WorkBudget {
    pub(super) fn new(scheduler: Arc<FairScheduler>) -> Self {
        Self { scheduler, steps: 0, since_slice: 0, permit: None }
    }

    /// Returns the shared scheduler.
    pub(super) fn scheduler(&self) -> Arc<FairScheduler> {
        Arc::clone(&self.scheduler)
    }

    /// Called when the connection waits for its client: clears the count and releases the permit.
    pub(super) fn reset(&mut self) {
        (self.steps, self.since_slice, self.permit) = (0, 0, None);
    }

    /// Called when the connection waits for anything else: releases the permit.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }

    /// Called before input is decoded; waits for a permit if the input is long.
    ///
    /// # Errors
    /// No permit within [`PERMIT_TIMEOUT`].
    pub(super) async fn before_decode(&mut self, input: usize) -> io::Result<()> {
        if input >= LONG_INPUT_BYTES { self.take_permit().await } else { Ok(()) }
    }

    /// Called after a command that has added `grown` bytes to the reply; waits for a permit or
    /// yields as needed.
    ///
    /// # Errors
    /// No permit within [`PERMIT_TIMEOUT`].
    pub(super) async fn step(&mut self, grown: usize) -> io::Result<()> {
        self.count(1 + grown / STEP_BYTES);
        if self.steps >= FREE_STEPS {
            self.take_permit().await?;
        }
        if self.since_slice >= SLICE_STEPS {
            self.since_slice = 0;
            // The permit is kept, so that a reply in progress is completed.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Called after a request; yields and releases the permit as needed.
    ///
    /// # Errors
    /// No permit within [`PERMIT_TIMEOUT`].
    pub(super) async fn end_request(&mut self) -> io::Result<()> {
        self.count(1);
        if self.steps < FREE_STEPS && self.since_slice < SLICE_STEPS {
            return Ok(());
        }
        self.since_slice = 0;
        self.permit = None;
        tokio::task::yield_now().await;
        if self.steps >= FREE_STEPS { self.take_permit().await } else { Ok(()) }
    }

    fn count(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
        self.since_slice += steps;
    }

    async fn take_permit(&mut self) -> io::Result<()> {
        if self.permit.is_none() {
            let scheduler = &self.scheduler;
            let permit = async {
                let permit = Arc::clone(&scheduler.permits)
                    .acquire_owned()
                    .await
                    .map_err(io::Error::other)?;
                scheduler.unsent.wait_for_room().await;
                Ok::<_, io::Error>(permit)
            };
            self.permit = Some(timeout(PERMIT_TIMEOUT, permit).await??);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sender_that_must_make_room_is_told() {
        let scheduler = FairScheduler::new(1);
        let mut budget = WorkBudget::new(Arc::clone(&scheduler));
        let stuck = scheduler.send::<io::Error>(1, &mut budget, std::future::pending());
        let newer = async {
            tokio::task::yield_now().await;
            drop(scheduler.unsent.reserve(MAX_UNSENT_BYTES, &CancellationToken::new()));
        };
        let (stuck, ()) = tokio::join!(stuck, newer);
        assert_eq!(stuck.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        scheduler.send::<io::Error>(1, &mut budget, std::future::ready(Ok(()))).await.unwrap();
    }

    #[tokio::test]
    async fn who_works_without_a_pause_needs_a_turn_and_who_waits_gives_it_back() {
        let scheduler = FairScheduler::new(1);
        let (mut one, mut two) =
            (WorkBudget::new(Arc::clone(&scheduler)), WorkBudget::new(Arc::clone(&scheduler)));
        for _ in 0..FREE_STEPS {
            one.step(0).await.unwrap();
        }
        assert_eq!(scheduler.permits.available_permits(), 0);
        // Short work needs no permit.
        for _ in 0..FREE_STEPS / 2 {
            two.step(0).await.unwrap();
            two.end_request().await.unwrap();
            two.reset();
        }
        let waits = two.before_decode(LONG_INPUT_BYTES);
        let mut waits = pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        one.reset();
        waits.await.unwrap();
        assert_eq!(scheduler.permits.available_permits(), 0);
    }
}
