//! Responses whose bytes are on the account of what is not taken, until the wire has them.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::fast_path::poll::poll_once;
use crate::listen::unsent::{Gauge, MemoryBudget, Reservation};

/// Frames below it are not worth the count.
const SMALL: usize = 1 << 10;

/// What one connection may have of responses that it does not take, before more are made for it,
/// while the account is empty.
const MOST_OF_ONE: usize = 2 << 20;
/// The same, however full the account is.
const LEAST_OF_ONE: usize = 128 << 10;
/// How long a request waits for its client to take the responses to others.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection's part of the account.
pub(super) struct Ledger {
    account: Arc<MemoryBudget>,
    pub(super) evicted: CancellationToken,
    level: Gauge,
}

/// Bytes on the account: HTTP/2 drops them when they are written.
struct OnAccount {
    data: Bytes,
    ledger: Arc<Ledger>,
    _held: Reservation,
}

impl Drop for OnAccount {
    fn drop(&mut self) {
        self.ledger.level.sub(self.data.len());
    }
}

impl AsRef<[u8]> for OnAccount {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Ledger {
    pub(super) fn of(account: &Arc<MemoryBudget>) -> Arc<Self> {
        let evicted = CancellationToken::new();
        Arc::new(Self { account: Arc::clone(account), evicted, level: Gauge::default() })
    }

    /// Whether no more is to be made for the client before it has taken some.
    fn is_full(&self) -> bool {
        let bytes = self.level.get();
        bytes > LEAST_OF_ONE && bytes > self.account.allowance(LEAST_OF_ONE, MOST_OF_ONE)
    }

    /// Waits until the client has taken some of what it has asked for, if that is much; not for
    /// ever.
    async fn room(self: Arc<Self>) {
        let end = Instant::now() + PATIENCE;
        self.level.wait(|| (self.is_full() && Instant::now() < end).then_some(end)).await;
        if self.evicted.is_cancelled() {
            // Nobody hears the answer: the connection takes the request with it.
            std::future::pending().await
        }
    }

    fn count(self: &Arc<Self>, data: Bytes) -> Bytes {
        if data.len() < SMALL {
            return data;
        }
        self.level.add(data.len());
        let held = self.account.reserve(data.len(), &self.evicted);
        Bytes::from_owner(OnAccount { data, ledger: Arc::clone(self), _held: held })
    }
}

/// A connection's service whose responses are on the account.
pub(super) struct CountedService<S> {
    inner: Arc<S>,
    ledger: Arc<Ledger>,
}

impl<S> CountedService<S> {
    pub(super) fn new(inner: S, ledger: &Arc<Ledger>) -> Self {
        Self { inner: Arc::new(inner), ledger: Arc::clone(ledger) }
    }
}

impl<S, B> Service<Request<Incoming>> for CountedService<S>
where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send + Unpin + 'static,
        > + Send
        + Sync
        + 'static,
    B: Body + Unpin,
{
    type Response = Response<Counted<B>>;
    type Error = Infallible;
    type Future = Counting<S, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let ledger = &self.ledger;
        let state = if ledger.is_full() {
            State::Asked(Box::new((Arc::clone(&self.inner), request)))
        } else {
            // Most calls are answered at once. A panic is the request's, not the connection's,
            // which is under way here.
            match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(answering) => State::begun(answering, ledger, poll_once),
                Err(panic) => State::Panicked(panic),
            }
        };
        Counting { state, room: None, ledger: Arc::clone(ledger) }
    }
}

/// An answer on its way.
pub(super) struct Counting<S: Service<Request<Incoming>>, B> {
    state: State<S, B>,
    /// Waited for before anything more is done.
    room: Option<BoxFuture<'static, ()>>,
    ledger: Arc<Ledger>,
}

enum State<S: Service<Request<Incoming>>, B> {
    /// Not begun: there is no room for the answer.
    Asked(Box<(Arc<S>, Request<Incoming>)>),
    Begun(Box<S::Future>),
    Answered(Response<Counted<B>>),
    Panicked(Box<dyn Any + Send>),
    Done,
}

impl<S, B> State<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin>,
    B: Body,
{
    fn begun(
        mut answering: S::Future,
        ledger: &Arc<Ledger>,
        poll: impl FnOnce(Pin<&mut S::Future>) -> thread::Result<Poll<<S::Future as Future>::Output>>,
    ) -> Self {
        match poll(Pin::new(&mut answering)) {
            Err(panic) => Self::Panicked(panic),
            Ok(Poll::Ready(Ok(response))) => {
                Self::Answered(response.map(|body| Counted::new(body, ledger)))
            }
            Ok(Poll::Ready(Err(never))) => match never {},
            Ok(Poll::Pending) => Self::Begun(Box::new(answering)),
        }
    }
}

impl<S: Service<Request<Incoming>>, B> Counting<S, B> {
    /// At each poll: between two of them, other calls of the connection may have made much.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.room.is_none() && self.ledger.is_full() {
            self.room = Some(Box::pin(Arc::clone(&self.ledger).room()));
        }
        if let Some(room) = &mut self.room {
            if room.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.room = None;
        }
        Poll::Ready(())
    }
}

impl<S, B> Future for Counting<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin>,
    B: Body + Unpin,
{
    type Output = Result<Response<Counted<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !matches!(this.state, State::Answered(_)) && this.poll_room(context).is_pending() {
            return Poll::Pending;
        }
        let state = match std::mem::replace(&mut this.state, State::Done) {
            State::Asked(asked) => {
                let (service, request) = *asked;
                State::begun(service.call(request), &this.ledger, |future: Pin<&mut S::Future>| {
                    Ok(future.poll(context))
                })
            }
            State::Begun(answering) => {
                State::begun(*answering, &this.ledger, |future: Pin<&mut S::Future>| {
                    Ok(future.poll(context))
                })
            }
            State::Panicked(panic) => resume_unwind(panic),
            state @ (State::Answered(_) | State::Done) => state,
        };
        if let State::Answered(response) = state {
            return Poll::Ready(Ok(response));
        }
        this.state = state;
        Poll::Pending
    }
}

/// A body on the account.
pub(super) struct Counted<B> {
    inner: B,
    /// Bytes that were made with the response, until they are asked for.
    made: usize,
    ledger: Arc<Ledger>,
}

impl<B: Body> Counted<B> {
    fn new(inner: B, ledger: &Arc<Ledger>) -> Self {
        let least = usize::try_from(inner.size_hint().lower()).unwrap_or(usize::MAX);
        let made = if least < SMALL { 0 } else { least };
        if made > 0 {
            ledger.level.add(made);
        }
        Self { inner, made, ledger: Arc::clone(ledger) }
    }
}

impl<B> Counted<B> {
    fn settle(&mut self) {
        if self.made > 0 {
            self.ledger.level.sub(std::mem::take(&mut self.made));
        }
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        self.settle();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        let frame = frame.map(|frame| {
            frame.map(|frame| frame.map(|frame| frame.map_data(|data| this.ledger.count(data))))
        });
        // Only now: what it was made for is counted.
        this.settle();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
