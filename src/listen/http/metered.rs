//! Responses whose bytes count against memory budgets until they are written to the connection.

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

/// Frames below this size, in bytes, are not counted.
const SMALL: usize = 1 << 10;

/// Maximum bytes of unread responses of one connection, while the budget of all is empty. Beyond it
/// no more responses are made for the connection.
const MAX_CONNECTION_BYTES: usize = 2 << 20;
/// The same, while the budget of all is full.
const MIN_CONNECTION_BYTES: usize = 128 << 10;
/// Maximum time for which a request waits until its client has read the responses to others.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Unread response bytes of one connection, within the budget of all.
pub(super) struct ConnectionBudget {
    total: Arc<MemoryBudget>,
    pub(super) evicted: CancellationToken,
    level: Gauge,
}

/// Counted bytes: HTTP/2 drops them once they are written.
struct MeteredBytes {
    data: Bytes,
    budget: Arc<ConnectionBudget>,
    _held: Reservation,
}

impl Drop for MeteredBytes {
    fn drop(&mut self) {
        self.budget.level.sub(self.data.len());
    }
}

impl AsRef<[u8]> for MeteredBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl ConnectionBudget {
    pub(super) fn of(total: &Arc<MemoryBudget>) -> Arc<Self> {
        let evicted = CancellationToken::new();
        Arc::new(Self { total: Arc::clone(total), evicted, level: Gauge::default() })
    }

    /// Returns true if no more responses are to be made for the client before it has read some.
    fn is_full(&self) -> bool {
        let bytes = self.level.get();
        bytes > MIN_CONNECTION_BYTES
            && bytes > self.total.allowance(MIN_CONNECTION_BYTES, MAX_CONNECTION_BYTES)
    }

    /// Waits until the client has read some of its responses, or for `MAX_WAIT`.
    async fn room(self: Arc<Self>) {
        let end = Instant::now() + MAX_WAIT;
        self.level.wait(|| (self.is_full() && Instant::now() < end).then_some(end)).await;
        if self.evicted.is_cancelled() {
            // No answer is needed: the connection is being closed.
            std::future::pending().await
        }
    }

    fn count(self: &Arc<Self>, data: Bytes) -> Bytes {
        if data.len() < SMALL {
            return data;
        }
        self.level.add(data.len());
        let held = self.total.reserve(data.len(), &self.evicted);
        Bytes::from_owner(MeteredBytes { data, budget: Arc::clone(self), _held: held })
    }
}

/// A connection's service whose responses are counted.
pub(super) struct MeteredService<S> {
    inner: Arc<S>,
    budget: Arc<ConnectionBudget>,
}

impl<S> MeteredService<S> {
    pub(super) fn new(inner: S, budget: &Arc<ConnectionBudget>) -> Self {
        Self { inner: Arc::new(inner), budget: Arc::clone(budget) }
    }
}

impl<S, B> Service<Request<Incoming>> for MeteredService<S>
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
    type Response = Response<MeteredBody<B>>;
    type Error = Infallible;
    type Future = MeteredCall<S, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let budget = &self.budget;
        let state = if budget.is_full() {
            State::Asked(Box::new((Arc::clone(&self.inner), request)))
        } else {
            // Most calls are answered at once. A panic is the request's: it must not end the
            // connection.
            match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(answering) => State::begun(answering, budget, poll_once),
                Err(panic) => State::Panicked(panic),
            }
        };
        MeteredCall { state, room: None, budget: Arc::clone(budget) }
    }
}

/// The outcome of one poll, or the payload of a panic.
type Polled<T> = thread::Result<Poll<T>>;

/// A call under way.
pub(super) struct MeteredCall<S: Service<Request<Incoming>>, B> {
    state: State<S, B>,
    /// Ready when there is room for the response.
    room: Option<BoxFuture<'static, ()>>,
    budget: Arc<ConnectionBudget>,
}

enum State<S: Service<Request<Incoming>>, B> {
    /// Not begun: there is no room for the response.
    Asked(Box<(Arc<S>, Request<Incoming>)>),
    Begun(Box<S::Future>),
    Answered(Response<MeteredBody<B>>),
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
        budget: &Arc<ConnectionBudget>,
        poll: impl FnOnce(Pin<&mut S::Future>) -> Polled<<S::Future as Future>::Output>,
    ) -> Self {
        match poll(Pin::new(&mut answering)) {
            Err(panic) => Self::Panicked(panic),
            Ok(Poll::Ready(Ok(response))) => {
                Self::Answered(response.map(|body| MeteredBody::new(body, budget)))
            }
            Ok(Poll::Ready(Err(never))) => match never {},
            Ok(Poll::Pending) => Self::Begun(Box::new(answering)),
        }
    }
}

impl<S: Service<Request<Incoming>>, B> MeteredCall<S, B> {
    /// Checked at each poll: other calls of the connection may have filled the budget since.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.room.is_none() && self.budget.is_full() {
            self.room = Some(Box::pin(Arc::clone(&self.budget).room()));
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

impl<S, B> Future for MeteredCall<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin>,
    B: Body + Unpin,
{
    type Output = Result<Response<MeteredBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !matches!(this.state, State::Answered(_)) && this.poll_room(context).is_pending() {
            return Poll::Pending;
        }
        let state = match std::mem::replace(&mut this.state, State::Done) {
            State::Asked(asked) => {
                let (service, request) = *asked;
                State::begun(service.call(request), &this.budget, |future: Pin<&mut S::Future>| {
                    Ok(future.poll(context))
                })
            }
            State::Begun(answering) => {
                State::begun(*answering, &this.budget, |future: Pin<&mut S::Future>| {
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

/// A response body whose bytes are counted.
pub(super) struct MeteredBody<B> {
    inner: B,
    /// Body bytes that the response holds already (its lower size hint), until they are polled.
    made: usize,
    budget: Arc<ConnectionBudget>,
}

impl<B: Body> MeteredBody<B> {
    fn new(inner: B, budget: &Arc<ConnectionBudget>) -> Self {
        let least = usize::try_from(inner.size_hint().lower()).unwrap_or(usize::MAX);
        let made = if least < SMALL { 0 } else { least };
        if made > 0 {
            budget.level.add(made);
        }
        Self { inner, made, budget: Arc::clone(budget) }
    }
}

impl<B> MeteredBody<B> {
    fn settle(&mut self) {
        if self.made > 0 {
            self.budget.level.sub(std::mem::take(&mut self.made));
        }
    }
}

impl<B> Drop for MeteredBody<B> {
    fn drop(&mut self) {
        self.settle();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for MeteredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        let frame = frame.map(|frame| {
            frame.map(|frame| frame.map(|frame| frame.map_data(|data| this.budget.count(data))))
        });
        // Only now: the polled bytes are counted by themselves.
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
