//! Responses whose bytes are on the account of what is not taken, until the wire has them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::listen::unsent::{Account, Held, Tally};

/// Frames below it are not worth the count.
const SMALL: usize = 1 << 10;

/// What one connection may have of responses that it does not take, before more are made for it, while the account is empty.
const MOST_OF_ONE: usize = 2 << 20;
/// The same, however full the account is.
const LEAST_OF_ONE: usize = 128 << 10;
/// How long a request waits for its client to take the responses to others.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection's part of the account.
pub(super) struct Ledger {
    account: Arc<Account>,
    pub(super) evicted: CancellationToken,
    bytes: AtomicUsize,
    /// How many requests wait for it to be less.
    waiting: AtomicUsize,
    freed: Notify,
}

/// Bytes on the account: HTTP/2 drops them when they are written.
struct OnAccount {
    data: Bytes,
    ledger: Arc<Ledger>,
    _held: Held,
}

impl Drop for OnAccount {
    fn drop(&mut self) {
        self.ledger.bytes.fetch_sub(self.data.len(), Ordering::SeqCst);
        // Whatever the allowance was when they began to wait: it changes with what others take.
        if self.ledger.waiting.load(Ordering::SeqCst) > 0 {
            self.ledger.freed.notify_waiters();
        }
    }
}

impl AsRef<[u8]> for OnAccount {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Ledger {
    pub(super) fn of(account: &Arc<Account>) -> Arc<Self> {
        let evicted = CancellationToken::new();
        let (bytes, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { account: Arc::clone(account), evicted, bytes, waiting, freed: Notify::new() })
    }

    /// Whether no more is to be made for the client before it has taken some.
    fn is_full(&self) -> bool {
        let bytes = self.bytes.load(Ordering::SeqCst);
        bytes > LEAST_OF_ONE && bytes > self.account.allowance(LEAST_OF_ONE, MOST_OF_ONE)
    }

    /// Waits until the client has taken some of what it has asked for, if that is much; not for ever.
    async fn room(self: Arc<Self>) {
        let end = Instant::now() + PATIENCE;
        let _waiting = Tally::one(&self.waiting);
        loop {
            let freed = self.freed.notified();
            if !self.is_full() || timeout_at(end, freed).await.is_err() {
                break;
            }
        }
        if self.evicted.is_cancelled() {
            // Nobody hears the answer: the connection takes the request with it.
            std::future::pending().await
        }
    }

    fn count(self: &Arc<Self>, data: Bytes) -> Bytes {
        if data.len() < SMALL {
            return data;
        }
        self.bytes.fetch_add(data.len(), Ordering::SeqCst);
        let held = self.account.hold(data.len(), &self.evicted);
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
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + Unpin + 'static>
        + Send
        + Sync
        + 'static,
{
    type Response = Response<Counted<B>>;
    type Error = Infallible;
    type Future = Counting<S, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let asked = Box::new((Arc::clone(&self.inner), request));
        Counting { state: State::Asked(asked), room: None, ledger: Arc::clone(&self.ledger) }
    }
}

/// An answer on its way. Small, since hyper moves it about; what is in boxes stays where it is.
pub(super) struct Counting<S, B> {
    state: State<S, B>,
    /// Waited for before anything more is done.
    room: Option<BoxFuture<'static, ()>>,
    ledger: Arc<Ledger>,
}

enum State<S, B> {
    /// Not begun: what arrived with it may be answered, and counted, first.
    Asked(Box<(Arc<S>, Request<Incoming>)>),
    Begun(BoxFuture<'static, Result<Response<B>, Infallible>>),
    Done,
}

impl<S, B> Counting<S, B> {
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
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + Unpin + 'static>
        + Send
        + Sync
        + 'static,
{
    type Output = Result<Response<Counted<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.poll_room(context).is_pending() {
            return Poll::Pending;
        }
        let response = match std::mem::replace(&mut this.state, State::Done) {
            State::Asked(asked) => {
                let (service, request) = *asked;
                let mut answering = service.call(request);
                match Pin::new(&mut answering).poll(context) {
                    Poll::Ready(response) => response,
                    Poll::Pending => {
                        this.state = State::Begun(Box::pin(answering));
                        return Poll::Pending;
                    }
                }
            }
            State::Begun(mut answering) => match answering.as_mut().poll(context) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    this.state = State::Begun(answering);
                    return Poll::Pending;
                }
            },
            State::Done => return Poll::Pending,
        };
        let ledger = Arc::clone(&this.ledger);
        Poll::Ready(response.map(|response| response.map(|inner| Counted { inner, ledger })))
    }
}

/// A body on the account.
pub(super) struct Counted<B> {
    inner: B,
    ledger: Arc<Ledger>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|data| this.ledger.count(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
