//! The memory for replies that are made and not taken.
//!
//! A client may ask for much and read nothing. What is kept for such clients is on one account a door; when that is full, whoever has
//! waited longest to be read is closed. Who reads has nothing there for longer than the wire takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What all connections of some doors keep of replies.
pub(super) struct Account {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    bytes: usize,
    /// What waits to be read, the longest first, with the way to tell its connection to go.
    waiting: BTreeMap<u64, (usize, CancellationToken)>,
}

impl Account {
    /// An account for at most so many bytes.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    /// Puts so many bytes on it. If it is too much, the connections of the longest waiting are told to go; one alone may be as long
    /// as it is.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, connection: &CancellationToken) -> Held {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.bytes += bytes;
        state.waiting.insert(id, (bytes, connection.clone()));
        while state.bytes > self.most && state.waiting.len() > 1 {
            let Some((_, (bytes, longest))) = state.waiting.pop_first() else { break };
            state.bytes -= bytes;
            longest.cancel();
        }
        drop(state);
        Held { account: Arc::clone(self), id }
    }
}

/// Bytes on the account; dropped, they are off.
pub(super) struct Held {
    account: Arc<Account>,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.account.state.lock();
        if let Some((bytes, _)) = state.waiting.remove(&self.id) {
            state.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
