//! Native gRPC: a call is found in the table of RPCs, admitted or refused, and held to its
//! deadline; a panic ends the call alone.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

use super::body::ReplyBody;
use super::call::{Call, draining, log_internal};
use super::conn::Conn;
use super::services::dispatch;
use super::{ResponseFuture, body, deadline};
use crate::model::{Error, MAX_MESSAGE_BYTES, Method};
use crate::pb;

/// The body of a request.
pub(crate) trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>> + Send>
    + Send
    + Unpin
    + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>> + Send>
        + Send
        + Unpin
        + 'static
{
}

/// Dispatches all calls, native or translated.
#[derive(Clone)]
pub(super) struct Native {
    draining: CancellationToken,
    routes: Routes,
}

impl Native {
    pub(super) fn new(draining: CancellationToken, routes: Routes) -> Self {
        Self { draining, routes }
    }

    pub(super) fn call<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        request: Request<B>,
    ) -> ResponseFuture {
        match Method::find(request.uri().path()) {
            Some(method) => self.known(conn, method, request),
            None => self.other_service(conn, request),
        }
    }

    /// Answers an RPC of the contract.
    fn known<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        method: Method,
        request: Request<B>,
    ) -> ResponseFuture {
        let Some(token) = conn.needs_remote_lookup(method, request.headers()) else {
            return self.start(conn, method, request);
        };
        let (this, conn) = (self.clone(), Arc::clone(conn));
        ResponseFuture::later(async move {
            let answering = match timeout(
                conn.service.limits().call_timeout,
                conn.service.look_up(token),
            )
            .await
            {
                Ok(Ok(())) => this.start(&conn, method, request),
                Ok(Err(error)) => refused(&conn, method, &error),
                Err(_) => refused(&conn, method, &deadline::exceeded()),
            };
            match answering.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }

    fn start<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        method: Method,
        request: Request<B>,
    ) -> ResponseFuture {
        let call = match self.admit(conn, method, request.headers()) {
            Ok(call) => call,
            Err(error) => return refused(conn, method, &error),
        };
        ResponseFuture::Later(dispatch(Arc::new(call), request))
    }

    fn admit(&self, conn: &Arc<Conn>, method: Method, headers: &HeaderMap) -> Result<Call, Error> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        Call::begin(conn, method, headers)
    }

    /// Answers health and reflection, which stay open while the server drains; any other path is
    /// UNIMPLEMENTED.
    fn other_service<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        request: Request<B>,
    ) -> ResponseFuture {
        let path = request.uri().path();
        if !path.starts_with("/grpc.health.v1.") && !path.starts_with("/grpc.reflection.v1") {
            let sentence = format!(
                "there is no RPC {}; reflection lists those that there are",
                path.escape_default()
            );
            return ResponseFuture::ready(
                Status::unimplemented(sentence).into_http().map(ReplyBody::tonic),
            );
        }
        let closing = conn.info.closing.clone();
        let answering = self.routes.clone().call(request.map(Body::new));
        ResponseFuture::later(async move {
            let response = match answering.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            response.map(|inner| {
                ReplyBody::stream(body::Until::new(inner, &closing, pb::status(&draining())))
            })
        })
    }
}

/// Returns the response to a call that was not admitted.
fn refused(conn: &Conn, method: Method, error: &Error) -> ResponseFuture {
    conn.service.metrics().failed(method, error.reason());
    log_internal(method, error);
    ResponseFuture::ready(pb::status(error).into_http().map(ReplyBody::tonic))
}

/// The answer to a call, on its way.
pub(super) type Handling = Pin<Box<dyn Future<Output = Response<ReplyBody>> + Send>>;

/// Maximum size of a request's message, in bytes: a batch of the largest keys and values, with the
/// tags and lengths around them.
pub(super) const MAX_REQUEST_BYTES: usize = MAX_MESSAGE_BYTES + (64 << 10);

/// Has a generated server answer.
#[cfg(feature = "generated-glue")]
pub(super) async fn by_tonic<S, B>(
    mut server: S,
    request: Request<B>,
) -> Result<Response<ReplyBody>, Status>
where
    S: tower::Service<
            Request<B>,
            Response = Response<Body>,
            Error = std::convert::Infallible,
            Future: Send,
        > + Send,
    B: Send,
{
    match server.call(request).await {
        Ok(response) => match Status::from_header_map(response.headers()) {
            None => Ok(response.map(ReplyBody::tonic)),
            Some(status) => Err(status),
        },
        Err(never) => match never {},
    }
}
