//! Answers calls by the methods of the generated traits, as tonic's generated servers do, without
//! their buffers: a request's message is the bytes that HTTP/2 gave, and is not copied.
//!
//! Every RPC goes this way, whatever its store's engine and however the client cut its frames.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status, Streaming};

use crate::grpc::{ReplyBody, RequestBody, trailers};
use crate::pb::{Codec, Incoming, Malformed, Outgoing, PREFIX};

/// Messages of a stream that are there go out together up to this size, in bytes.
const TOGETHER: usize = 16 << 10;

/// Answers a call with one message.
pub(crate) fn unary<B, M, R, F>(
    request: Request<B>,
    max_bytes: usize,
    method: impl FnOnce(tonic::Request<M>) -> F,
) -> impl Future<Output = Result<Response<ReplyBody>, Status>>
where
    B: RequestBody,
    M: Incoming,
    R: Outgoing,
    F: Future<Output = Result<tonic::Response<R>, Status>>,
{
    // Outside of the future, which would have room for the whole request, and be moved with it.
    let mut opened = Opened::new(request);
    async move {
        let message = opened.only_message(max_bytes).await?;
        let reply = method(opened.with_metadata(message)).await?;
        Ok(response(reply, |message| ReplyBody::message(message.framed())))
    }
}

/// Answers a call with a stream.
pub(crate) fn server_streaming<B, M, S, R, F>(
    request: Request<B>,
    max_bytes: usize,
    method: impl FnOnce(tonic::Request<M>) -> F,
) -> impl Future<Output = Result<Response<ReplyBody>, Status>>
where
    B: RequestBody,
    M: Incoming,
    S: Stream<Item = Result<R, Status>> + Send + Unpin + 'static,
    R: Outgoing,
    F: Future<Output = Result<tonic::Response<S>, Status>>,
{
    let mut opened = Opened::new(request);
    async move {
        let message = opened.only_message(max_bytes).await?;
        let reply = method(opened.with_metadata(message)).await?;
        Ok(response(reply, |stream| ReplyBody::stream(StreamBody::new(stream))))
    }
}

/// Answers a stream of requests with a stream.
pub(crate) async fn streaming<B, M, S, R, F>(
    request: Request<B>,
    max_bytes: usize,
    method: impl FnOnce(tonic::Request<Streaming<M>>) -> F,
) -> Result<Response<ReplyBody>, Status>
where
    B: RequestBody,
    M: Incoming,
    S: Stream<Item = Result<R, Status>> + Send + Unpin + 'static,
    R: Outgoing,
    F: Future<Output = Result<tonic::Response<S>, Status>>,
{
    let Opened { metadata, extensions, body } = Opened::new(request);
    refuse_compression(&metadata)?;
    let messages = Streaming::new_request(Codec::<R, M>::default(), body, None, Some(max_bytes));
    let reply = method(tonic::Request::from_parts(metadata, extensions, messages)).await?;
    Ok(response(reply, |stream| ReplyBody::stream(StreamBody::new(stream))))
}

/// A request of which a method of the traits sees the metadata and the messages.
struct Opened<B> {
    metadata: MetadataMap,
    extensions: Extensions,
    body: B,
}

impl<B: RequestBody> Opened<B> {
    fn new(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(head.headers);
        Self { metadata, extensions: head.extensions, body }
    }

    /// Reads the message of a request that has one.
    async fn only_message<M: Incoming>(&mut self, max_bytes: usize) -> Result<M, Status> {
        refuse_compression(&self.metadata)?;
        let message = read_message(&mut self.body, max_bytes).await?;
        M::decode(message).map_err(|Malformed| malformed("no message of this RPC"))
    }

    fn with_metadata<M>(self, message: M) -> tonic::Request<M> {
        tonic::Request::from_parts(self.metadata, self.extensions, message)
    }
}

fn response<T>(
    reply: tonic::Response<T>,
    body: impl FnOnce(T) -> ReplyBody,
) -> Response<ReplyBody> {
    let (metadata, message, _): (_, _, Extensions) = reply.into_parts();
    let mut response = Response::new(body(message));
    let mut headers = metadata.into_headers();
    if headers.is_empty() {
        // An empty map would make room for six.
        headers = HeaderMap::with_capacity(1);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    *response.headers_mut() = headers;
    response
}

/// Refuses a request whose messages are compressed (gRPC, Compression).
fn refuse_compression(metadata: &MetadataMap) -> Result<(), Status> {
    match metadata.as_ref().get("grpc-encoding") {
        Some(encoding) if encoding != "identity" => {
            let mut status = Status::unimplemented(
                "compressed messages are not accepted; send them with grpc-encoding identity",
            );
            let accepted = tonic::metadata::MetadataValue::from_static("identity");
            status.metadata_mut().insert("grpc-accept-encoding", accepted);
            Err(status)
        }
        Some(_) | None => Ok(()),
    }
}

fn malformed(what: &'static str) -> Status {
    Status::internal(what)
}

/// Reads a message and waits for the end of the request. Most come in one frame, and are not
/// copied.
async fn read_message<B: RequestBody>(body: &mut B, max_bytes: usize) -> Result<Bytes, Status> {
    let Some(mut read) = next_data(body).await? else {
        return Err(malformed("the call has no request"));
    };
    let mut wanted = wanted_length(&read, max_bytes)?;
    if wanted.is_none_or(|wanted| read.len() < wanted) {
        let mut pieces = BytesMut::with_capacity(wanted.unwrap_or(PREFIX));
        pieces.put(read);
        while wanted.is_none_or(|wanted| pieces.len() < wanted) {
            let Some(piece) = next_data(body).await? else {
                return Err(malformed("the message is cut off"));
            };
            pieces.put(piece);
            wanted = wanted_length(&pieces, max_bytes)?;
        }
        read = pieces.freeze();
    }
    // Bytes behind the message are dropped, as tonic's server drops them.
    while !body.is_end_stream() && next_data(body).await?.is_some() {}
    Ok(read.slice(PREFIX..wanted.unwrap_or(PREFIX)))
}

/// Reads the length of a message with its prefix, or returns `None` if the prefix is not complete.
fn wanted_length(read: &[u8], max_bytes: usize) -> Result<Option<usize>, Status> {
    let Some(([flag, length @ ..], _)) = read.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    if *flag != 0 {
        return Err(malformed("the message is compressed, or its prefix is none"));
    }
    let length = u32::from_be_bytes(*length) as usize;
    if length > max_bytes {
        return Err(Status::out_of_range("the message is too large"));
    }
    Ok(Some(PREFIX + length))
}

/// Returns the next data that are not empty, or `None` at the end.
async fn next_data<B: RequestBody>(body: &mut B) -> Result<Option<Bytes>, Status> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Ok(Some(data)),
            // Trailers, which are the last frame.
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The body of a stream of replies.
struct StreamBody<S> {
    stream: S,
    /// The status behind the last message.
    end: Option<Status>,
    is_done: bool,
}

impl<S> StreamBody<S> {
    fn new(stream: S) -> Self {
        Self { stream, end: None, is_done: false }
    }
}

impl<S, R> Body for StreamBody<S>
where
    S: Stream<Item = Result<R, Status>> + Unpin,
    R: Outgoing,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.is_done {
            return Poll::Ready(None);
        }
        let mut messages = Messages::default();
        while this.end.is_none() && !messages.is_full() {
            match Pin::new(&mut this.stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => messages.push(message.framed()),
                Poll::Ready(Some(Err(status))) => this.end = Some(status),
                Poll::Ready(None) => this.end = Some(Status::ok("")),
                Poll::Pending => break,
            }
        }
        if let Some(bytes) = messages.finish() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match this.end.take() {
            Some(status) => {
                this.is_done = true;
                Poll::Ready(Some(trailers(&status)))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done
    }
}

/// Messages that go out in one frame. One alone is not copied: all streams share its bytes.
#[derive(Default)]
struct Messages {
    one: Option<Bytes>,
    more: BytesMut,
}

impl Messages {
    fn push(&mut self, message: Bytes) {
        if self.one.is_none() && self.more.is_empty() {
            self.one = Some(message);
            return;
        }
        if let Some(first) = self.one.take() {
            self.more.reserve(TOGETHER);
            self.more.put(first);
        }
        self.more.put(message);
    }

    fn is_full(&self) -> bool {
        let one = self.one.as_ref().map_or(0, Bytes::len);
        self.more.len().max(one) >= TOGETHER
    }

    fn finish(self) -> Option<Bytes> {
        if self.more.is_empty() { self.one } else { Some(self.more.freeze()) }
    }
}
