//! Bodies of streams: one that ends when its connection or the server wants it to, one that a panic does not end silently.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::call::Call;
use super::native::text_of;
use crate::model::Error;

/// `inner` until `closing` is cancelled, then the trailers of `status`.
///
/// For streams that never end by themselves and do not listen: health's Watch, reflection.
pub(super) struct Until {
    inner: Body,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    status: Option<Status>,
}

impl Until {
    pub(super) fn new(inner: Body, closing: CancellationToken, status: Status) -> Self {
        Self { inner, closing: Box::pin(closing.cancelled_owned()), status: Some(status) }
    }
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.status.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        match self.closing.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => match self.status.take() {
                Some(status) => Poll::Ready(Some(trailers(&status))),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.status.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A stream's body: a panic while a message is made ends it with INTERNAL instead of silence.
pub(super) struct Guarded {
    inner: Body,
    call: Option<Arc<Call>>,
}

impl Guarded {
    pub(super) fn new(inner: Body, call: Arc<Call>) -> Self {
        Self { inner, call: Some(call) }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(context))) {
            Ok(polled) => polled,
            Err(panic) => match self.call.take() {
                Some(call) => {
                    call.service.metrics().panicked();
                    let status = call.fail(&Error::internal(format!("panicked: {}", text_of(&*panic))));
                    Poll::Ready(Some(trailers(&status)))
                }
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(super) fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
