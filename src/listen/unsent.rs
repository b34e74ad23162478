//! The memory for replies that are made and not taken.
//!
//! A client may ask for much and read nothing. What is kept for such clients is on one account a
//! door; when that is full, whoever has waited longest to be read is closed. Who reads has nothing
//! there for longer than the wire takes. Long replies are made only while there is
//! [room](Account::room), so that clients which come again and again cannot keep the server at
//! nothing else.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Bounds what the system keeps of replies before the client's window has room for them: without
/// that, up to 4 MiB for each client that does not read. What is on its way is not counted, so a
/// fast reader far away is not slower for it.
///
/// # Errors
/// The system's.
pub(super) fn bound_in_system(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(bytes)?;
    // Elsewhere the system's own bound has to do.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream, bytes);
    Ok(())
}

/// How long a client has to take a long reply when others want to have theirs made.
const LEAST_HELD: Duration = Duration::from_millis(100);
/// Which part of what is free one connection may take.
const SHARES: usize = 32;

/// A number of bytes, and those who wait for it to fall.
#[derive(Default)]
pub(super) struct Level {
    bytes: AtomicUsize,
    waiting: AtomicUsize,
    fallen: Notify,
}

/// Counts one who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Level {
    /// How high it is.
    pub(super) fn get(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// So many more.
    pub(super) fn rise(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// So many fewer.
    pub(super) fn fall(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.fallen.notify_waiters();
        }
    }

    /// Waits: each time that it has fallen, and at the time that `look` gave, that looks again,
    /// until it gives none.
    pub(super) async fn wait(&self, mut look: impl FnMut() -> Option<Instant>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        loop {
            let fallen = self.fallen.notified();
            let Some(next) = look() else { return };
            // Whichever it was.
            let _ = timeout_at(next, fallen).await;
        }
    }
}

/// What all connections of some doors keep of replies.
pub(super) struct Account {
    most: usize,
    level: Level,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
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
        Arc::new(Self { most, level: Level::default(), state: Mutex::default() })
    }

    /// What one connection may have on it before no more is made for it: a part of what is free
    /// below the half. However many take nothing, they come to rest at half of the account, and
    /// nobody has to be closed for them.
    pub(super) fn allowance(&self, least: usize, most: usize) -> usize {
        let free = (self.most / 2).saturating_sub(self.level.get());
        (free / SHARES).clamp(least, most)
    }

    /// Waits until what nobody takes comes to less than half of the account. Who has had
    /// [`LEAST_HELD`] to take what it asked for makes room if it must.
    pub(super) async fn room(&self) {
        self.level.wait(|| self.make_room(Instant::now())).await;
    }

    /// `None`: there is room. Else when to look again.
    fn make_room(&self, now: Instant) -> Option<Instant> {
        if self.level.get() < self.most / 2 {
            return None;
        }
        let mut state = self.state.lock();
        while self.level.get() >= self.most / 2
            && let Some(longest) = state.waiting.first_entry()
        {
            let may_go = longest.get().since + LEAST_HELD;
            if may_go > now {
                return Some(may_go);
            }
            self.evict(longest.remove());
        }
        None
    }

    /// Puts so many bytes on it. If it is too much, the connections of the longest waiting are told
    /// to go; one alone may be as long as it is.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, connection: &CancellationToken) -> Held {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        self.level.rise(bytes);
        state
            .waiting
            .insert(id, Unread { bytes, since: Instant::now(), evict: connection.clone() });
        while self.level.get() > self.most && state.waiting.len() > 1 {
            let Some((_, longest)) = state.waiting.pop_first() else { break };
            self.evict(longest);
        }
        drop(state);
        Held { account: Arc::clone(self), id }
    }

    fn evict(&self, unread: Unread) {
        self.level.fall(unread.bytes);
        unread.evict.cancel();
    }
}

/// Bytes on the account; dropped, they are off.
pub(super) struct Held {
    account: Arc<Account>,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Under the lock, so that nobody is told to go for what is off already.
        let mut state = self.account.state.lock();
        if let Some(unread) = state.waiting.remove(&self.id) {
            self.account.level.fall(unread.bytes);
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
        let mut held: Vec<_> =
            tokens.iter().take(4).map(|token| account.hold(100, token)).collect();
        assert_eq!(gone(), [false; 6]);
        held.push(account.hold(1, &tokens[4]));
        assert_eq!(gone(), [true, false, false, false, false, false]);
        // One alone may be as long as it is.
        held.push(account.hold(1_000, &tokens[5]));
        assert_eq!(gone(), [true, true, true, true, true, false]);
        drop(held);
        assert_eq!(account.level.get(), 0);
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
        assert!(!token.is_cancelled(), "{} bytes", account.level.get());
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
