//! The gRPC listener: metadata to callers, messages to commands, errors to statuses. What is done is
//! the service's business.

mod body;
mod by_hand;
mod call;
mod conn;
mod deadline;
mod health;
mod native;
mod services;
mod web;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::listen::ConnInfo;
use crate::listen::http::HttpService;
use crate::service::Service;
pub use body::ReplyBody;
pub(crate) use body::trailers;
use conn::Conn;
pub use health::Health;
use native::Native;
pub(crate) use native::RequestBody;
use web::Web;

/// The listener's name, in the access log and in GetServerInfo.
pub const PROTOCOL: &str = "grpc";

/// All RPCs: native gRPC, and gRPC-Web for the browsers of the origins allowed.
#[derive(Clone)]
pub struct Grpc {
    service: Arc<Service>,
    ways: Arc<Ways>,
}

struct Ways {
    native: Native,
    web: Web,
}

impl Grpc {
    /// The listener to a service, and what tells its health; that wants to be told in turn whether the
    /// server takes calls.
    ///
    /// # Errors
    /// If the contract's descriptors cannot be read.
    pub fn new(
        service: Arc<Service>,
        allowed_origins: &[HeaderValue],
    ) -> Result<(Self, Health), Box<dyn std::error::Error + Send + Sync>> {
        let draining = CancellationToken::new();
        let (routes, health) = health::routes(draining.clone())?;
        let native = Native::new(draining, routes);
        let web = Web::new(native.clone(), allowed_origins);
        Ok((Self { service, ways: Arc::new(Ways { native, web }) }, health))
    }
}

impl HttpService for Grpc {
    type ResponseBody = ReplyBody;
    type Connection = Connection;

    fn connection(&self, info: ConnInfo) -> Connection {
        Connection {
            ways: Arc::clone(&self.ways),
            conn: Arc::new(Conn::new(Arc::clone(&self.service), info)),
        }
    }
}

/// The calls of one connection.
pub struct Connection {
    ways: Arc<Ways>,
    conn: Arc<Conn>,
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        // First what is hot: nothing of the browsers' is on its way.
        if native::is_native(request.headers()) {
            self.ways.native.call(&self.conn, request)
        } else {
            self.ways.web.call(&self.conn, request.map(Body::new))
        }
    }
}

/// An answer: there, or on its way.
pub enum Answering {
    /// It is there; `None`: it was taken.
    Ready(Option<Response<ReplyBody>>),
    /// It is on its way.
    Later(Pin<Box<dyn Future<Output = Response<ReplyBody>> + Send>>),
}

impl Answering {
    fn ready(response: Response<ReplyBody>) -> Self {
        Self::Ready(Some(response))
    }

    fn later(answering: impl Future<Output = Response<ReplyBody>> + Send + 'static) -> Self {
        Self::Later(Box::pin(answering))
    }
}

impl Future for Answering {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(answering) => answering.as_mut().poll(context).map(Ok),
        }
    }
}
