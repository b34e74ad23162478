//! The gRPC door: metadata to callers, messages to commands, errors to statuses. What is done is the service's business.

mod body;
mod call;
mod chat;
mod deadline;
mod health;
mod key_value;
mod native;
mod people;
mod stream;
mod tools;
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

use crate::service::Service;
pub use health::Health;
use native::Native;
use web::Web;

/// The door's name, in the access log and in GetServerInfo.
pub const DOOR: &str = "grpc";

/// An answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// All RPCs as one tower service: native gRPC, and gRPC-Web for the browsers of the origins allowed.
#[derive(Clone)]
pub struct Grpc {
    native: Native,
    web: Web,
}

impl Grpc {
    /// The door to a service, and what tells its health; that wants to be told in turn whether the server takes calls.
    ///
    /// # Errors
    /// If the contract's descriptors cannot be read.
    pub fn new(
        service: Arc<Service>,
        allowed_origins: &[HeaderValue],
    ) -> Result<(Self, Health), Box<dyn std::error::Error + Send + Sync>> {
        let draining = CancellationToken::new();
        let (routes, health) = health::routes(draining.clone())?;
        let native = Native::new(service, draining, routes);
        let web = Web::new(native.clone(), allowed_origins);
        Ok((Self { native, web }, health))
    }
}

impl tower::Service<Request<Incoming>> for Grpc {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answering {
        let request = request.map(Body::new);
        // First what is hot: nothing of the browsers' is on its way.
        if native::is_native(request.headers()) { self.native.call(request) } else { self.web.call(request) }
    }
}
