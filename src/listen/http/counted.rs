//! Response bodies whose bytes are on the account of what is not taken, until the wire has them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::listen::unsent::{Account, Held};

/// Frames below it are not worth the count.
const SMALL: usize = 1 << 10;

/// The account, and the way to tell this connection to go.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) account: Arc<Account>,
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
    fn count(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        frame.map_data(|data| {
            if data.len() < SMALL {
                return data;
            }
            let held = self.account.hold(data.len(), &self.evicted);
            Bytes::from_owner(OnAccount { data, _held: held })
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
