//! Response bodies whose bytes are on the account of what is not taken, until the wire has them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::listen::unsent::{Account, Held};

/// Frames below it are not worth the count.
const SMALL: usize = 1 << 10;

/// What one connection may have of responses that it does not take, before more are made for it.
const MOST_OF_ONE: usize = 2 << 20;
/// How long a request waits for its client to take the responses to others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The account, and one connection's part of it.
#[derive(Clone)]
pub(super) struct Ledger {
    account: Arc<Account>,
    own: Arc<Own>,
}

struct Own {
    evicted: CancellationToken,
    bytes: AtomicUsize,
    freed: Notify,
}

/// Bytes on the account: HTTP/2 drops them when they are written.
struct OnAccount {
    data: Bytes,
    own: Arc<Own>,
    _held: Held,
}

impl Drop for OnAccount {
    fn drop(&mut self) {
        let before = self.own.bytes.fetch_sub(self.data.len(), Ordering::Relaxed);
        if before > MOST_OF_ONE {
            self.own.freed.notify_waiters();
        }
    }
}

impl AsRef<[u8]> for OnAccount {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Ledger {
    pub(super) fn new(account: Arc<Account>) -> Self {
        let own = Own { evicted: CancellationToken::new(), bytes: AtomicUsize::new(0), freed: Notify::new() };
        Self { account, own: Arc::new(own) }
    }

    /// Cancelled when the connection must go.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.own.evicted.clone()
    }

    /// Waits until the client has taken some of what it has asked for, if that is much; not for ever.
    pub(super) async fn room(&self) {
        let is_full = || self.own.bytes.load(Ordering::Relaxed) > MOST_OF_ONE;
        if is_full() {
            let end = Instant::now() + PATIENCE;
            loop {
                let freed = self.own.freed.notified();
                if !is_full() || timeout_at(end, freed).await.is_err() {
                    break;
                }
            }
        }
        if self.own.evicted.is_cancelled() {
            // Nobody hears the answer: the connection takes the request with it.
            std::future::pending().await
        }
    }

    fn count(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        frame.map_data(|data| {
            if data.len() < SMALL {
                return data;
            }
            self.own.bytes.fetch_add(data.len(), Ordering::Relaxed);
            let held = self.account.hold(data.len(), &self.own.evicted);
            Bytes::from_owner(OnAccount { data, own: Arc::clone(&self.own), _held: held })
        })
    }
}

/// A body on the account.
pub(super) struct Counted<B: Body> {
    inner: B,
    ledger: Ledger,
    hint: SizeHint,
    /// What was ready when the response was: a client that opens no window would else keep it off the account.
    first: Option<Result<Frame<Bytes>, B::Error>>,
}

impl<B: Body<Data = Bytes> + Unpin> Counted<B> {
    pub(super) fn new(mut inner: B, ledger: Ledger) -> Self {
        let hint = inner.size_hint();
        let ended = inner.is_end_stream();
        let ready = if ended {
            Poll::Pending
        } else {
            Pin::new(&mut inner).poll_frame(&mut Context::from_waker(Waker::noop()))
        };
        let first = match ready {
            Poll::Ready(Some(frame)) => Some(frame.map(|frame| ledger.count(frame))),
            Poll::Ready(None) | Poll::Pending => None,
        };
        Self { inner, ledger, hint, first }
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| this.ledger.count(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.first.is_some() { self.hint } else { self.inner.size_hint() }
    }
}
