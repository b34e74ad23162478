//! What answers the requests of a door.

use std::convert::Infallible;
use std::error::Error as StdError;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::listen::ConnInfo;

/// Answers the requests of all connections of a door.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// The body of its responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers those of one connection, so that what is known of a connection is found out once.
    type Connection: Service<
            Request<Incoming>,
            Response = Response<Self::ResponseBody>,
            Error = Infallible,
            Future: Send + Unpin + 'static,
        > + Send
        + Sync
        + 'static;

    /// What answers the requests of a new connection.
    fn connection(&self, info: ConnInfo) -> Self::Connection;
}

/// Any tower service whose errors are responses, as axum's router. Each request has its
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

/// Puts the connection's [`ConnInfo`] into each request.
#[derive(Clone, Debug)]
pub struct WithInfo<S> {
    service: TowerToHyperService<S>,
    info: ConnInfo,
}

impl<S> Service<Request<Incoming>> for WithInfo<S>
where
    S: tower::Service<Request<Incoming>, Future: Send + 'static> + Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.info.clone());
        Box::pin(self.service.call(request))
    }
}
