//! Responses whose bytes are on the account of what is not taken, until the wire has them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio_util::sync::CancellationToken;

use crate::listen::unsent::{Account, Held};

/// Frames below it are not worth the count.
const SMALL: usize = 1 << 10;

/// The account, and the way to tell this connection to go.
pub(super) struct Ledger {
    account: Arc<Account>,
    pub(super) evicted: CancellationToken,
}

/// Bytes on the account: HTTP/2 drops them when they are written.
struct OnAccount {
    data: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for OnAccount {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Ledger {
    pub(super) fn of(account: &Arc<Account>) -> Arc<Self> {
        Arc::new(Self { account: Arc::clone(account), evicted: CancellationToken::new() })
    }

    fn count(&self, data: Bytes) -> Bytes {
        if data.len() < SMALL {
            return data;
        }
        let held = self.account.hold(data.len(), &self.evicted);
        Bytes::from_owner(OnAccount { data, _held: held })
    }

    /// Waits for room on the account.
    async fn room(self: Arc<Self>) {
        self.account.room().await;
        if self.evicted.is_cancelled() {
            // Nobody hears the answer: the connection takes this with it.
            std::future::pending::<()>().await;
        }
    }
}

/// A connection's service whose responses are on the account.
pub(super) struct CountedService<S> {
    inner: S,
    ledger: Arc<Ledger>,
}

impl<S> CountedService<S> {
    pub(super) fn new(inner: S, ledger: &Arc<Ledger>) -> Self {
        Self { inner, ledger: Arc::clone(ledger) }
    }
}

impl<S, B> Service<Request<Incoming>> for CountedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Counted<B>>;
    type Error = Infallible;
    type Future = Counting<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let room =
            if self.ledger.account.has_room() { None } else { Some(Box::pin(Arc::clone(&self.ledger).room()) as _) };
        Counting { room, answering: self.inner.call(request), ledger: Arc::clone(&self.ledger) }
    }
}

/// An answer on its way.
pub(super) struct Counting<F> {
    /// What is waited for first.
    room: Option<BoxFuture<'static, ()>>,
    answering: F,
    ledger: Arc<Ledger>,
}

impl<F, B> Future for Counting<F>
where
    F: Future<Output = Result<Response<B>, Infallible>> + Unpin,
{
    type Output = Result<Response<Counted<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(room) = &mut this.room {
            if room.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.room = None;
        }
        let Poll::Ready(response) = Pin::new(&mut this.answering).poll(context) else { return Poll::Pending };
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
