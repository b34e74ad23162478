//! The interface between HTTP connections and the services that answer their requests.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::ready;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::listen::ConnInfo;

/// Answers the requests of all connections of a listener.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// Body of the responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Service of one connection, which can keep what it derives from the connection.
    type Connection: Service<
            Request<Incoming>,
            Response = Response<Self::ResponseBody>,
            Error = Infallible,
            Future: Send + Unpin + 'static,
        > + Send
        + Sync
        + 'static;

    /// Creates the service of a new connection.
    fn connection(&self, info: ConnInfo) -> Self::Connection;
}

/// Adapter for a tower service that cannot fail, such as axum's router. Requests that a browser's
/// page may not make are refused. Each request has its
/// [`ConnInfo`] in its extensions.
#[derive(Clone, Debug)]
pub struct Tower<S>(pub S);

impl<S, B> HttpService for Tower<S>
where
    S: tower::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>
        + From<String>
        + Send
        + Unpin
        + 'static,
{
    type ResponseBody = B;
    type Connection = WithInfo<S>;

    fn connection(&self, info: ConnInfo) -> WithInfo<S> {
        WithInfo { service: TowerToHyperService::new(self.0.clone()), info }
    }
}

/// Service that adds the connection's [`ConnInfo`] to each request.
#[derive(Clone, Debug)]
pub struct WithInfo<S> {
    service: TowerToHyperService<S>,
    info: ConnInfo,
}

impl<S, B> Service<Request<Incoming>> for WithInfo<S>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Send + 'static,
    B: From<String> + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Err(why) = self.info.requests.check(request.uri(), request.headers()) {
            let mut refusal = Response::new(B::from(format!("{why}\n")));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Box::pin(ready(Ok(refusal)));
        }
        request.extensions_mut().insert(self.info.clone());
        Box::pin(self.service.call(request))
    }
}
