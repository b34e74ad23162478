//! The gRPC protocol: metadata to callers, messages to commands, errors to statuses. What is done
//! is the service's business.

mod body;
mod by_hand;
mod call;
mod conn;
mod content_type;
mod deadline;
mod guard;
mod health;
mod native;
mod services;
mod web;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use crate::listen::ConnInfo;
use crate::listen::http::{Browsers, HttpService, NotAllowed};
use crate::service::Service;
pub use body::ReplyBody;
#[cfg(not(feature = "generated-glue"))]
pub(crate) use body::trailers;
use conn::Conn;
use content_type::ContentKind;
pub use health::Health;
use native::Native;
#[cfg(not(feature = "generated-glue"))]
pub(crate) use native::RequestBody;
use web::Web;

/// Name of the protocol, in the access log, the metrics and GetServerInfo.
pub const PROTOCOL: &str = "grpc";

/// All RPCs: native gRPC, and gRPC-Web for browsers of the allowed origins.
#[derive(Clone)]
pub struct Grpc {
    service: Arc<Service>,
    protocols: Arc<Protocols>,
}

struct Protocols {
    native: Native,
    web: Web,
}

impl Grpc {
    /// Returns the protocol in front of a service, and its health, which has to be told whether
    /// the server takes calls.
    ///
    /// # Errors
    /// If the contract's descriptors cannot be read.
    pub fn new(
        service: Arc<Service>,
        browsers: &Browsers,
    ) -> Result<(Self, Health), Box<dyn std::error::Error + Send + Sync>> {
        let draining = CancellationToken::new();
        let (routes, health) = health::routes(draining.clone())?;
        let native = Native::new(draining, routes);
        let web = Web::new(native.clone(), browsers);
        Ok((Self { service, protocols: Arc::new(Protocols { native, web }) }, health))
    }
}

impl HttpService for Grpc {
    type ResponseBody = ReplyBody;
    type Connection = Connection;

    fn connection(&self, info: ConnInfo) -> Connection {
        Connection {
            protocols: Arc::clone(&self.protocols),
            conn: Arc::new(Conn::new(Arc::clone(&self.service), info)),
        }
    }
}

/// The calls of one connection.
pub struct Connection {
    protocols: Arc<Protocols>,
    conn: Arc<Conn>,
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture {
        let kind = content_type::of(request.headers());
        if let Err(why) = self.conn.info.requests.check(request.uri(), request.headers()) {
            return not_allowed(&why, kind, request.version());
        }
        match kind {
            // Native calls, which are most, skip CORS and gRPC-Web.
            ContentKind::Native if request.version() == Version::HTTP_2 => {
                self.protocols.native.call(&self.conn, request)
            }
            ContentKind::Native => plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED, NEEDS_HTTP2),
            ContentKind::OtherFormat => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, NEEDS_PROTOBUF),
            ContentKind::Web | ContentKind::Other => {
                self.protocols.web.call(&self.conn, kind, request.map(Body::new))
            }
        }
    }
}

const NEEDS_HTTP2: &str =
    "application/grpc is spoken over HTTP/2 alone; over HTTP/1.1 there is gRPC-Web\n";
const NEEDS_PROTOBUF: &str =
    "messages are protobuf here: the content type is application/grpc or application/grpc+proto\n";

/// Returns the response to a request that a page must not make: a status that gRPC clients show,
/// or a page's.
#[cold]
fn not_allowed(why: &NotAllowed, kind: ContentKind, version: Version) -> ResponseFuture {
    if kind == ContentKind::Native && version == Version::HTTP_2 {
        let status = Status::permission_denied(why.to_string());
        return ResponseFuture::ready(status.into_http().map(ReplyBody::tonic));
    }
    plain(StatusCode::FORBIDDEN, format!("{why}\n"))
}

#[cold]
fn plain(status: StatusCode, text: impl Into<Bytes>) -> ResponseFuture {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    ResponseFuture::ready(response.map(ReplyBody::tonic))
}

/// The response to a request.
pub enum ResponseFuture {
    /// The response; `None` once it was taken.
    Ready(Option<Response<ReplyBody>>),
    /// The call under way.
    Later(Pin<Box<dyn Future<Output = Response<ReplyBody>> + Send>>),
}

impl ResponseFuture {
    fn ready(response: Response<ReplyBody>) -> Self {
        Self::Ready(Some(response))
    }

    fn later(responding: impl Future<Output = Response<ReplyBody>> + Send + 'static) -> Self {
        Self::Later(Box::pin(responding))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(responding) => responding.as_mut().poll(context).map(Ok),
        }
    }
}
