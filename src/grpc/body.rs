//! Bodies of answers: one message at once, a stream that ends when its connection or the server
//! wants it to, one that a panic does not end silently.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use super::call::Call;
use super::native::text_of;
use crate::listen::Closing;
use crate::model::Error;

/// The body of an answer.
pub struct ReplyBody(Kind);

enum Kind {
    /// One message with its prefix, then the trailers of OK.
    Message(Bytes),
    Ok,
    Done,
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = Status> + Send>>),
    Tonic(Body),
}

impl ReplyBody {
    /// One message with its prefix, and the status OK.
    pub(super) fn message(framed: Bytes) -> Self {
        Self(Kind::Message(framed))
    }

    /// A stream of them.
    pub(super) fn stream(
        stream: impl HttpBody<Data = Bytes, Error = Status> + Send + 'static,
    ) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// What tonic made.
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

/// What a body gave.
type Polled<B> = Option<Result<Frame<<B as HttpBody>::Data>, <B as HttpBody>::Error>>;

/// A body some of which was read ahead.
pub(super) struct ReadAhead<B: HttpBody> {
    read: VecDeque<Polled<B>>,
    pub(super) rest: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> ReadAhead<B> {
    pub(super) fn new(rest: B) -> Self {
        Self { read: VecDeque::new(), rest }
    }

    /// Takes the next data, if they are there. Anything else is read again by whoever reads this
    /// body.
    pub(super) fn read_data(&mut self) -> Option<Bytes> {
        // Whoever reads on has itself woken.
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(polled) = Pin::new(&mut self.rest).poll_frame(&mut context) else {
            return None;
        };
        match polled.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => return Some(data),
            Some(Ok(Err(trailers))) => self.read.push_back(Some(Ok(trailers))),
            Some(Err(error)) => self.read.push_back(Some(Err(error))),
            None => self.read.push_back(None),
        }
        None
    }

    /// Has data read again, behind what is to be read again already.
    pub(super) fn put_back(&mut self, data: Bytes) {
        self.read.push_back(Some(Ok(Frame::data(data))));
    }

    /// Has data read again, before everything else.
    pub(super) fn put_first(&mut self, data: Bytes) {
        self.read.push_front(Some(Ok(Frame::data(data))));
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for ReadAhead<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.read.pop_front() {
            Some(polled) => Poll::Ready(polled),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
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

/// A stream's body: a panic while a message is made ends it with INTERNAL instead of silence.
pub(super) struct Guarded<B> {
    inner: B,
    call: Option<Arc<Call>>,
}

impl<B> Guarded<B> {
    pub(super) fn new(inner: B, call: Arc<Call>) -> Self {
        Self { inner, call: Some(call) }
    }
}

impl<B: HttpBody<Data = Bytes, Error = Status> + Unpin> HttpBody for Guarded<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.call.is_none() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(context))) {
            Ok(polled) => polled,
            Err(panic) => match this.call.take() {
                Some(call) => {
                    call.service().metrics().panicked();
                    let status =
                        call.fail(&Error::internal(format!("panicked: {}", text_of(&*panic))));
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
