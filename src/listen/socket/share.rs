//! What the connections of all socket doors share: turns at long work, and the memory for replies
//! that are not taken.
//!
//! A connection that asks little and then waits needs neither. One that asks for much without a
//! pause works on in a turn, of which there are as many as threads: however many such clients there
//! are, no other waits for more than a few of their steps, and no more than a few long replies are
//! in the making. What a client does not take at once is on the account of [`Share::send`], and
//! while that is half full, turns wait too.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::WRITE_TIMEOUT;
use crate::listen::unsent::Account;

/// The most that all replies which are made and not taken may come to. Beyond it, whoever has
/// waited longest to be read is closed.
const MAX_UNSENT_BYTES: usize = 64 << 20;
/// Steps without a pause that need no turn: a command, a request, or [`STEP_BYTES`] of a reply.
const FREE_STEPS: usize = 16;
/// How many steps one client works on before the others on its thread have theirs.
const SLICE_STEPS: usize = 8;
/// What of a reply counts as a step.
const STEP_BYTES: usize = 4 << 10;
/// A request so long is not even decoded without a turn.
const LONG_INPUT_BYTES: usize = 16 << 10;
/// How long a turn is waited for: the others' steps are short, so this is the end of a server that
/// is lost anyway.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections share.
pub struct Share {
    turns: Arc<Semaphore>,
    unsent: Arc<Account>,
}

impl Share {
    /// For connections on so many threads.
    pub fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(threads.max(1))),
            unsent: Account::new(MAX_UNSENT_BYTES),
        })
    }

    /// Sends a reply of so many bytes; a client that does not take it in time, or when others need
    /// the memory, gets no more of it.
    pub(super) async fn send<E: From<io::Error>>(
        &self,
        bytes: usize,
        pace: &mut Pace,
        sending: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let mut sending = pin!(sending);
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent;
        }
        pace.rest();
        let evicted = CancellationToken::new();
        let _held = self.unsent.hold(bytes, &evicted);
        tokio::select! {
            biased;
            () = evicted.cancelled() => {
                Err(io::Error::new(io::ErrorKind::OutOfMemory, "it reads too slowly, and the memory for replies is needed").into())
            }
            sent = timeout(WRITE_TIMEOUT, sending) => sent.map_err(|elapsed| E::from(elapsed.into()))?,
        }
    }
}

/// How much a connection has done since it last waited for its client.
pub(super) struct Pace {
    share: Arc<Share>,
    steps: usize,
    since_slice: usize,
    turn: Option<OwnedSemaphorePermit>,
}

impl Pace {
    pub(super) fn new(share: Arc<Share>) -> Self {
        Self { share, steps: 0, since_slice: 0, turn: None }
    }

    /// What it shares with the others.
    pub(super) fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }

    /// The connection waits for its client.
    pub(super) fn rest(&mut self) {
        (self.steps, self.since_slice, self.turn) = (0, 0, None);
    }

    /// Something else than this connection's own work is waited for.
    pub(super) fn pause(&mut self) {
        self.turn = None;
    }

    /// Before so many bytes are decoded.
    pub(super) async fn before(&mut self, input: usize) -> io::Result<()> {
        if input >= LONG_INPUT_BYTES { self.take_turn().await } else { Ok(()) }
    }

    /// After a command, whose request's reply has grown by so many bytes.
    pub(super) async fn step(&mut self, grown: usize) -> io::Result<()> {
        self.count(1 + grown / STEP_BYTES);
        if self.steps >= FREE_STEPS {
            self.take_turn().await?;
        }
        if self.since_slice >= SLICE_STEPS {
            self.since_slice = 0;
            // The turn stays: what is half made should be made.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// After a request.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        self.count(1);
        if self.steps < FREE_STEPS && self.since_slice < SLICE_STEPS {
            return Ok(());
        }
        self.since_slice = 0;
        self.turn = None;
        tokio::task::yield_now().await;
        if self.steps >= FREE_STEPS { self.take_turn().await } else { Ok(()) }
    }

    fn count(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
        self.since_slice += steps;
    }

    async fn take_turn(&mut self) -> io::Result<()> {
        if self.turn.is_none() {
            let share = &self.share;
            let turn = async {
                let turn =
                    Arc::clone(&share.turns).acquire_owned().await.map_err(io::Error::other)?;
                share.unsent.room().await;
                Ok::<_, io::Error>(turn)
            };
            self.turn = Some(timeout(TURN_TIMEOUT, turn).await??);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sender_that_must_make_room_is_told() {
        let share = Share::new(1);
        let mut pace = Pace::new(Arc::clone(&share));
        let stuck = share.send::<io::Error>(1, &mut pace, std::future::pending());
        let newer = async {
            tokio::task::yield_now().await;
            drop(share.unsent.hold(MAX_UNSENT_BYTES, &CancellationToken::new()));
        };
        let (stuck, ()) = tokio::join!(stuck, newer);
        assert_eq!(stuck.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        share.send::<io::Error>(1, &mut pace, std::future::ready(Ok(()))).await.unwrap();
    }

    #[tokio::test]
    async fn who_works_without_a_pause_needs_a_turn_and_who_waits_gives_it_back() {
        let share = Share::new(1);
        let (mut one, mut two) = (Pace::new(Arc::clone(&share)), Pace::new(Arc::clone(&share)));
        for _ in 0..FREE_STEPS {
            one.step(0).await.unwrap();
        }
        assert_eq!(share.turns.available_permits(), 0);
        // Little needs none.
        for _ in 0..FREE_STEPS / 2 {
            two.step(0).await.unwrap();
            two.end().await.unwrap();
            two.rest();
        }
        let waits = two.before(LONG_INPUT_BYTES);
        let mut waits = pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        one.rest();
        waits.await.unwrap();
        assert_eq!(share.turns.available_permits(), 0);
    }
}
