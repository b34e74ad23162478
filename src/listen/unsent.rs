//! Memory of replies that are produced and not yet sent.
//!
//! A client may ask for much and read nothing. The bytes kept for such clients count against a
//! [`MemoryBudget`] that many connections share; when it is full, the longest-waiting ones are
//! closed. The replies of a client that reads are there only until they are on the wire. Long
//! replies are produced only while there is [room](MemoryBudget::wait_for_room), so that clients
//! which reconnect again and again cannot keep the server busy with nothing else.

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

/// Bounds the bytes that the system keeps of replies before the client's window has room for them;
/// the default is up to 4 MiB for each client that does not read. Bytes in flight are not counted,
/// so a fast client far away is not slowed down.
///
/// # Errors
/// The error of the system call.
pub(super) fn bound_in_system(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(bytes)?;
    // Other systems keep their default bound.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream, bytes);
    Ok(())
}

/// Minimum time that a client has to take a long reply while others wait to have theirs produced.
const MIN_HOLD: Duration = Duration::from_millis(100);
/// Fraction of the free budget that one connection may use: one part in this many.
const SHARES: usize = 32;

/// A number of bytes, with tasks that wait for it to decrease.
#[derive(Default)]
pub(super) struct Gauge {
    bytes: AtomicUsize,
    waiting: AtomicUsize,
    decreased: Notify,
}

/// Counts a waiting task until it is dropped.
struct WaitGuard<'a>(&'a AtomicUsize);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gauge {
    /// Returns the number of bytes.
    pub(super) fn get(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Adds bytes.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Subtracts bytes and wakes the waiting tasks.
    pub(super) fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.decreased.notify_waiters();
        }
    }

    /// Waits until `look` returns `None`. It is called at the start, after each decrease, and at
    /// the instant that it returned last.
    pub(super) async fn wait(&self, mut look: impl FnMut() -> Option<Instant>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = WaitGuard(&self.waiting);
        loop {
            let decreased = self.decreased.notified();
            let Some(next) = look() else { return };
            // Either the gauge has decreased or the instant has come; both lead to another look.
            let _ = timeout_at(next, decreased).await;
        }
    }
}

/// Budget for the unsent replies of all connections that share it.
pub(super) struct MemoryBudget {
    max: usize,
    gauge: Gauge,
    state: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    /// Unsent replies, the longest-waiting first.
    waiting: BTreeMap<u64, Unread>,
}

/// One unsent reply.
struct Unread {
    bytes: usize,
    since: Instant,
    /// Cancelled to close the connection.
    evict: CancellationToken,
}

impl MemoryBudget {
    /// Creates a budget of `max` bytes.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, gauge: Gauge::default(), state: Mutex::default() })
    }

    /// Returns the number of bytes that one connection may have unsent before no more is produced
    /// for it: a fraction of what is free below half of the budget, between `min` and `max`.
    /// However many clients read nothing, their total settles at half of the budget, and none of
    /// them has to be closed.
    pub(super) fn allowance(&self, min: usize, max: usize) -> usize {
        let free = (self.max / 2).saturating_sub(self.gauge.get());
        (free / SHARES).clamp(min, max)
    }

    /// Waits until less than half of the budget is used. Connections that had [`MIN_HOLD`] to take
    /// their replies are closed to make room.
    pub(super) async fn wait_for_room(&self) {
        self.gauge.wait(|| self.make_room(Instant::now())).await;
    }

    /// Returns `None` if there is room, or the instant at which to look again.
    fn make_room(&self, now: Instant) -> Option<Instant> {
        if self.gauge.get() < self.max / 2 {
            return None;
        }
        let mut state = self.state.lock();
        while self.gauge.get() >= self.max / 2
            && let Some(longest) = state.waiting.first_entry()
        {
            let may_go = longest.get().since + MIN_HOLD;
            if may_go > now {
                return Some(may_go);
            }
            self.evict(longest.remove());
        }
        None
    }

    /// Adds an unsent reply. Over the budget, the longest-waiting connections are closed; a single
    /// reply may exceed the budget.
    pub(super) fn reserve(
        self: &Arc<Self>,
        bytes: usize,
        connection: &CancellationToken,
    ) -> Reservation {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        self.gauge.add(bytes);
        state
            .waiting
            .insert(id, Unread { bytes, since: Instant::now(), evict: connection.clone() });
        while self.gauge.get() > self.max && state.waiting.len() > 1 {
            let Some((_, longest)) = state.waiting.pop_first() else { break };
            self.evict(longest);
        }
        drop(state);
        Reservation { budget: Arc::clone(self), id }
    }

    fn evict(&self, unread: Unread) {
        self.gauge.sub(unread.bytes);
        unread.evict.cancel();
    }
}

/// Bytes of an unsent reply, subtracted from the budget on drop.
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    id: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Under the lock, so that no connection is closed for bytes that are already free.
        let mut state = self.budget.state.lock();
        if let Some(unread) = state.waiting.remove(&self.id) {
            self.budget.gauge.sub(unread.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_has_a_limit_and_the_longest_waiting_goes() {
        let budget = MemoryBudget::new(400);
        let tokens: Vec<_> = (0..6).map(|_| CancellationToken::new()).collect();
        let gone = || tokens.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        let mut held: Vec<_> =
            tokens.iter().take(4).map(|token| budget.reserve(100, token)).collect();
        assert_eq!(gone(), [false; 6]);
        held.push(budget.reserve(1, &tokens[4]));
        assert_eq!(gone(), [true, false, false, false, false, false]);
        // A single reply may exceed the budget.
        held.push(budget.reserve(1_000, &tokens[5]));
        assert_eq!(gone(), [true, true, true, true, true, false]);
        drop(held);
        assert_eq!(budget.gauge.get(), 0);
    }

    #[test]
    fn however_many_take_nothing_none_of_them_is_closed() {
        let budget = MemoryBudget::new(1 << 20);
        let token = CancellationToken::new();
        let mut held = Vec::new();
        // Each uses its allowance, and one piece more.
        for _ in 0..200 {
            let mut own = 0;
            while own <= budget.allowance(1 << 10, 1 << 16) {
                held.push(budget.reserve(500, &token));
                own += 500;
            }
        }
        assert!(!token.is_cancelled(), "{} bytes", budget.gauge.get());
        let room = budget.allowance(1 << 10, 1 << 16);
        held.clear();
        assert!(budget.allowance(1 << 10, 1 << 16) > room);
    }

    #[tokio::test]
    async fn who_wants_room_waits_until_the_longest_waiting_has_had_its_time() {
        let budget = MemoryBudget::new(400);
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        budget.wait_for_room().await;
        let _first = budget.reserve(150, &first);
        let held = budget.reserve(150, &second);
        let now = Instant::now();
        assert!(budget.make_room(now).is_some_and(|next| next <= now + MIN_HOLD));
        assert!(!first.is_cancelled());
        assert_eq!(budget.make_room(now + MIN_HOLD), None);
        assert!(first.is_cancelled() && !second.is_cancelled());
        // Bytes that are taken make room at once.
        let _third = budget.reserve(150, &CancellationToken::new());
        let (mut room, mut held) = (std::pin::pin!(budget.wait_for_room()), Some(held));
        std::future::poll_fn(|context| {
            let polled = room.as_mut().poll(context);
            assert_eq!(polled.is_pending(), held.take().is_some());
            polled
        })
        .await;
        assert!(!second.is_cancelled());
    }
}
