//! Response bodies: one message, a stream of them, or a body of tonic's.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use crate::listen::Closing;

/// The body of an answer.
pub struct ReplyBody(Kind);

enum Kind {
    /// One message with its prefix, then the trailers of OK.
    #[cfg_attr(feature = "generated-glue", allow(dead_code, reason = "the glue alone makes it"))]
    Message(Bytes),
    Ok,
    Done,
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = Status> + Send>>),
    Tonic(Body),
}

impl ReplyBody {
    /// Returns one message with its prefix, and the status OK.
    #[cfg_attr(feature = "generated-glue", allow(dead_code, reason = "the glue alone makes it"))]
    pub(crate) fn message(framed: Bytes) -> Self {
        Self(Kind::Message(framed))
    }

    /// A stream of them.
    pub(crate) fn stream(
        stream: impl HttpBody<Data = Bytes, Error = Status> + Send + 'static,
    ) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// A body that tonic made.
    pub(super) fn tonic(body: Body) -> Self {
        Self(Kind::Tonic(body))
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.0 {
            Kind::Stream(stream) => return stream.as_mut().poll_frame(context),
            Kind::Tonic(body) => return Pin::new(body).poll_frame(context),
            Kind::Message(_) | Kind::Ok | Kind::Done => {}
        }
        match std::mem::replace(&mut self.0, Kind::Done) {
            Kind::Message(framed) => {
                self.0 = Kind::Ok;
                Poll::Ready(Some(Ok(Frame::data(framed))))
            }
            Kind::Ok => Poll::Ready(Some(Ok(Frame::trailers(ok())))),
            Kind::Done | Kind::Stream(_) | Kind::Tonic(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Stream(stream) => stream.is_end_stream(),
            Kind::Tonic(body) => body.is_end_stream(),
            Kind::Message(_) | Kind::Ok => false,
            Kind::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Tonic(body) => body.size_hint(),
            // An exact one would become a content-length, which gRPC has no use for.
            Kind::Message(framed) => {
                let mut least = SizeHint::new();
                least.set_lower(framed.len() as u64);
                least
            }
            Kind::Stream(_) | Kind::Ok | Kind::Done => SizeHint::default(),
        }
    }
}

/// The trailers of a call that succeeded.
fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

/// `inner` until `closing` is cancelled, then the trailers of `status`.
///
/// For streams that never end by themselves and do not listen: health's Watch, reflection.
pub(super) struct Until {
    inner: Body,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    status: Option<Status>,
}

impl Until {
    pub(super) fn new(inner: Body, closing: &Closing, status: Status) -> Self {
        Self { inner, closing: Box::pin(closing.cancelled_owned()), status: Some(status) }
    }
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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

pub(crate) fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
