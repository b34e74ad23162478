//! An executor that runs the requests of an HTTP/2 connection inside the poll of that connection,
//! before their answers are flushed.
//!
//! hyper hands each request to an executor. A task for each would cost an allocation, a turn of the
//! scheduler and a wake. Most requests are answered at their first poll: they are collected while
//! the connection reads, polled once, and only those that have to wait become tasks.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

use super::poll::poll_once;
use super::waker::CoalescingWaker;

type Arrived = Vec<Pin<Box<dyn Future<Output = ()> + Send>>>;

thread_local! {
    /// Requests of the connection that this thread polls, or `None` while it polls none.
    static ARRIVED: RefCell<Option<Arrived>> = const { RefCell::new(None) };
    /// An empty list that all connections of the thread use in turn, so that its memory stays in
    /// the processor's caches.
    static SPARE: RefCell<Arrived> = const { RefCell::new(Vec::new()) };
    /// Number of polls of connections.
    static POLLS: Cell<u64> = const { Cell::new(0) };
    /// Number of the poll up to which answers are flushed at once.
    static CROWDED_UNTIL: Cell<u64> = const { Cell::new(0) };
}

/// Collects the requests of the connection that this thread polls, and spawns everything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InlineExecutor;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InlineExecutor {
    fn execute(&self, future: F) {
        ARRIVED.with_borrow_mut(|arrived| match arrived {
            Some(arrived) => arrived.push(Box::pin(future)),
            None => drop(tokio::spawn(future)),
        });
    }
}

/// Number of other connections polled between a connection's answers and their flush, above which
/// the memory that the flush reads has left the near caches.
const CROWD: u64 = 128;
/// Number of polls for which answers are then flushed at once, before the number of connections is
/// measured again.
const CROWDED_FOR: u64 = 65_536;
/// Maximum number of polls of a connection in one turn.
const MAX_TURNS: usize = 16;

/// A connection whose executor is [`InlineExecutor`].
///
/// The answers wake the connection, which then flushes them. With few connections it waits for its
/// next turn, so that the answers of several go out one after another and a client is woken once.
/// With many, it is polled again at once.
pub(crate) struct InlineConnection<C> {
    connection: C,
    coalescing: Arc<CoalescingWaker>,
    /// The waker of `coalescing`.
    waker: Waker,
    /// Number of the poll since which the connection waits for its turn to flush.
    waits_since: Option<u64>,
}

impl<C> InlineConnection<C> {
    pub(crate) fn new(connection: C) -> Self {
        let coalescing = Arc::new(CoalescingWaker::default());
        Self {
            connection,
            waker: Waker::from(Arc::clone(&coalescing)),
            coalescing,
            waits_since: None,
        }
    }
}

/// Takes the list back, also if the poll panics.
struct Collecting;

impl Collecting {
    fn into(list: Arrived) -> Self {
        ARRIVED.replace(Some(list));
        Self
    }

    fn take(&self) -> Arrived {
        ARRIVED.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        ARRIVED.take();
    }
}

/// Polls the collected requests once.
fn run(arrived: &mut Arrived) {
    for mut request in arrived.drain(..) {
        // As in a task of its own, a panic ends this request alone. A request that has to wait
        // becomes a task, which polls it again.
        if let Ok(Poll::Pending) = poll_once(request.as_mut()) {
            tokio::spawn(request);
        }
    }
}

impl<C: Future + Unpin> Future for InlineConnection<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let number = POLLS.get() + 1;
        POLLS.set(number);
        if this.waits_since.take().is_some_and(|since| number.wrapping_sub(since) > CROWD) {
            CROWDED_UNTIL.set(number + CROWDED_FOR);
        }
        let turns = if number < CROWDED_UNTIL.get() { MAX_TURNS } else { 1 };

        this.coalescing.register(context.waker());
        let mut noted = Context::from_waker(&this.waker);
        for _ in 0..turns {
            this.coalescing.begin();
            let collecting = Collecting::into(SPARE.take());
            let polled = Pin::new(&mut this.connection).poll(&mut noted);
            let mut arrived = collecting.take();
            run(&mut arrived);
            SPARE.set(arrived);
            let woken = this.coalescing.take();
            if polled.is_ready() || !woken {
                return polled;
            }
        }
        this.waits_since = Some(number);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C: Unpin> InlineConnection<C> {
    /// Returns the connection.
    pub(crate) fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        Pin::new(&mut self.get_mut().connection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Has answers at its first poll, and has flushed them after its second.
    struct Answering {
        polls: usize,
    }

    impl Future for Answering {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            self.polls += 1;
            if self.polls == 1 {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns, for each of so many connections, the polls before a second turn and the wakes of
    /// its task.
    fn first_turn(connections: usize) -> Vec<(usize, usize)> {
        let mut all: Vec<_> = (0..connections)
            .map(|_| (InlineConnection::new(Answering { polls: 0 }), Arc::new(Wakes::default())))
            .collect();
        let mut turn = |(driven, wakes): &mut (InlineConnection<Answering>, Arc<Wakes>)| {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(Pin::new(driven).poll(&mut Context::from_waker(&waker)).is_pending());
        };
        all.iter_mut().for_each(&mut turn);
        let found = all
            .iter()
            .map(|(driven, wakes)| (driven.connection.polls, wakes.0.load(Ordering::SeqCst)))
            .collect();
        all.iter_mut().filter(|(driven, _)| driven.waits_since.is_some()).for_each(turn);
        assert!(all.iter().all(|(driven, _)| driven.connection.polls == 2));
        found
    }

    #[test]
    fn in_a_crowd_answers_are_flushed_at_once() {
        assert_eq!(first_turn(100), [(1, 1); 100]);
        assert_eq!(first_turn(100), [(1, 1); 100], "100 are no crowd");
        assert_eq!(first_turn(200), [(1, 1); 200]);
        assert_eq!(first_turn(200), [(2, 0); 200], "200 are");
    }
}
