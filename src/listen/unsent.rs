//! The memory for replies that are made and not taken.
//!
//! A client may ask for much and read nothing. What is kept for such clients is on one account a door; when that is full, whoever has
//! waited longest to be read is closed. Who reads has nothing there for longer than the wire takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long somebody new waits for those that were told to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all connections of some doors keep of replies.
pub(super) struct Account {
    most: usize,
    state: Mutex<State>,
    /// Whether more than the most is kept; beside the lock, since every response looks at it.
    full: AtomicBool,
    /// Told when what is kept falls below the most again.
    freed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Of those that wait.
    bytes: usize,
    /// Those of connections that were told to go and have not yet among them.
    kept: usize,
    /// What waits to be read, the longest first, with the way to tell its connection to go.
    waiting: BTreeMap<u64, (usize, CancellationToken)>,
}

impl Account {
    /// An account for at most so many bytes.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), full: AtomicBool::new(false), freed: Notify::new() })
    }

    /// Puts so many bytes on it. If it is too much, the connections of the longest waiting are told to go; one alone may be as long
    /// as it is.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, connection: &CancellationToken) -> Held {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.bytes += bytes;
        state.kept += bytes;
        state.waiting.insert(id, (bytes, connection.clone()));
        while state.bytes > self.most && state.waiting.len() > 1 {
            let Some((_, (bytes, longest))) = state.waiting.pop_first() else { break };
            state.bytes -= bytes;
            longest.cancel();
        }
        self.full.store(state.kept > self.most, Ordering::Release);
        drop(state);
        Held { account: Arc::clone(self), id, bytes }
    }

    /// Whether no more than the most is kept.
    pub(super) fn has_room(&self) -> bool {
        !self.full.load(Ordering::Acquire)
    }

    /// Waits while more than the most is kept, until those that were told to go have; not for ever.
    pub(super) async fn room(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let freed = self.freed.notified();
            if self.state.lock().kept <= self.most || timeout_at(end, freed).await.is_err() {
                return;
            }
        }
    }
}

/// Bytes on the account; dropped, they are off.
pub(super) struct Held {
    account: Arc<Account>,
    id: u64,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.account.state.lock();
        if let Some((bytes, _)) = state.waiting.remove(&self.id) {
            state.bytes -= bytes;
        }
        let was_over = state.kept > self.account.most;
        state.kept -= self.bytes;
        if was_over && state.kept <= self.account.most {
            self.account.full.store(false, Ordering::Release);
            drop(state);
            self.account.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn somebody_new_waits_until_those_told_to_go_have() {
        use futures_util::FutureExt as _;
        let (account, token) = (Account::new(100), CancellationToken::new());
        account.room().await;
        let (one, two) = (account.hold(60, &token), account.hold(60, &token));
        let mut waits = Box::pin(account.room());
        assert!(token.is_cancelled() && waits.as_mut().now_or_never().is_none());
        drop(one);
        waits.await;
        drop(two);
        assert_eq!(account.state.lock().kept, 0);
    }

    #[test]
    fn what_nobody_takes_has_a_limit_and_the_longest_waiting_goes() {
        let account = Account::new(400);
        let tokens: Vec<_> = (0..6).map(|_| CancellationToken::new()).collect();
        let gone = || tokens.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        let mut held: Vec<_> = tokens.iter().take(4).map(|token| account.hold(100, token)).collect();
        assert_eq!(gone(), [false; 6]);
        held.push(account.hold(1, &tokens[4]));
        assert_eq!(gone(), [true, false, false, false, false, false]);
        // One alone may be as long as it is.
        held.push(account.hold(1_000, &tokens[5]));
        assert_eq!(gone(), [true, true, true, true, true, false]);
        drop(held);
        assert_eq!(account.state.lock().bytes, 0);
    }
}
