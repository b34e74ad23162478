//! The memory for replies that are made and not taken.
//!
//! A client may ask for much and read nothing. What is kept for such clients is on one account a door; when that is full, whoever has
//! waited longest to be read is closed. Who reads has nothing there for longer than the wire takes. Long replies are made only while there is
//! [room](Account::room), so that clients which come again and again cannot keep the server at nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a client has to take a long reply when others want to have theirs made.
const LEAST_HELD: Duration = Duration::from_millis(100);
/// Which part of what is free one connection may take.
const SHARES: usize = 32;

/// What all connections of some doors keep of replies.
pub(super) struct Account {
    most: usize,
    state: Mutex<State>,
    /// [`State::bytes`] for those who need no lock to look.
    bytes: AtomicUsize,
    /// How many wait for room.
    wanting: AtomicUsize,
    freed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    bytes: usize,
    /// What waits to be read, the longest first.
    waiting: BTreeMap<u64, Unread>,
}

/// What one connection has not taken.
struct Unread {
    bytes: usize,
    since: Instant,
    /// Tells the connection to go.
    evict: CancellationToken,
}

impl Account {
    /// An account for at most so many bytes.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let (bytes, wanting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { most, state: Mutex::default(), bytes, wanting, freed: Notify::new() })
    }

    /// What one connection may have on it before no more is made for it: a part of what is free below the half. However many take nothing, they
    /// come to rest at half of the account, and nobody has to be closed for them.
    pub(super) fn allowance(&self, least: usize, most: usize) -> usize {
        let free = (self.most / 2).saturating_sub(self.bytes.load(Ordering::SeqCst));
        (free / SHARES).clamp(least, most)
    }

    /// Waits until what nobody takes comes to less than half of the account. Who has had [`LEAST_HELD`] to take what it asked for makes room if it must.
    pub(super) async fn room(&self) {
        let _wanting = Tally::one(&self.wanting);
        loop {
            let freed = self.freed.notified();
            let Some(next) = self.make_room(Instant::now()) else { return };
            tokio::select! {
                () = freed => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// `None`: there is room. Else when to look again.
    fn make_room(&self, now: Instant) -> Option<Instant> {
        if self.bytes.load(Ordering::SeqCst) < self.most / 2 {
            return None;
        }
        let mut state = self.state.lock();
        while state.bytes >= self.most / 2
            && let Some(longest) = state.waiting.first_entry()
        {
            let may_go = longest.get().since + LEAST_HELD;
            if may_go > now {
                return Some(may_go);
            }
            let longest = longest.remove();
            self.give_back(&mut state, longest.bytes);
            longest.evict.cancel();
        }
        None
    }

    /// Puts so many bytes on it. If it is too much, the connections of the longest waiting are told to go; one alone may be as long
    /// as it is.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, connection: &CancellationToken) -> Held {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.bytes += bytes;
        state.waiting.insert(id, Unread { bytes, since: Instant::now(), evict: connection.clone() });
        while state.bytes > self.most && state.waiting.len() > 1 {
            let Some((_, longest)) = state.waiting.pop_first() else { break };
            state.bytes -= longest.bytes;
            longest.evict.cancel();
        }
        self.bytes.store(state.bytes, Ordering::SeqCst);
        drop(state);
        Held { account: Arc::clone(self), id }
    }

    fn give_back(&self, state: &mut State, bytes: usize) {
        state.bytes -= bytes;
        self.bytes.store(state.bytes, Ordering::SeqCst);
        if self.wanting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// Counts one for as long as it lives.
pub(super) struct Tally<'a>(&'a AtomicUsize);

impl<'a> Tally<'a> {
    pub(super) fn one(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
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
        if let Some(unread) = state.waiting.remove(&self.id) {
            self.account.give_back(&mut state, unread.bytes);
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

    #[test]
    fn however_many_take_nothing_none_of_them_is_closed() {
        let account = Account::new(1 << 20);
        let token = CancellationToken::new();
        let mut held = Vec::new();
        // Each takes as much as it may, and one piece more.
        for _ in 0..200 {
            let mut own = 0;
            while own <= account.allowance(1 << 10, 1 << 16) {
                held.push(account.hold(500, &token));
                own += 500;
            }
        }
        assert!(!token.is_cancelled(), "{} bytes", account.state.lock().bytes);
        let room = account.allowance(1 << 10, 1 << 16);
        held.clear();
        assert!(account.allowance(1 << 10, 1 << 16) > room);
    }

    #[tokio::test]
    async fn who_wants_room_waits_until_the_longest_waiting_has_had_its_time() {
        let account = Account::new(400);
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        account.room().await;
        let _first = account.hold(150, &first);
        let held = account.hold(150, &second);
        let now = Instant::now();
        assert!(account.make_room(now).is_some_and(|next| next <= now + LEAST_HELD));
        assert!(!first.is_cancelled());
        assert_eq!(account.make_room(now + LEAST_HELD), None);
        assert!(first.is_cancelled() && !second.is_cancelled());
        // What is taken makes room at once.
        let _third = account.hold(150, &CancellationToken::new());
        let (mut room, mut held) = (std::pin::pin!(account.room()), Some(held));
        std::future::poll_fn(|context| {
            let polled = room.as_mut().poll(context);
            assert_eq!(polled.is_pending(), held.take().is_some());
            polled
        })
        .await;
        assert!(!second.is_cancelled());
    }
}
