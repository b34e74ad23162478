//! Native gRPC: each call is found in the table of RPCs, let in or refused, timed, and kept from
//! taking the server down.

use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::body::ReplyBody;
use super::call::{Call, draining, log_internal};
use super::conn::Conn;
use super::services::dispatch;
use super::{Answering, body, deadline};
use crate::model::{Error, MAX_MESSAGE_BYTES, Method, Reason};
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

/// Whether this is native gRPC: `application/grpc`, or that with `+` and a format.
pub(super) fn is_native(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    match kind.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// All calls, native or translated.
#[derive(Clone)]
pub(super) struct Native {
    draining: CancellationToken,
    routes: Routes,
}

impl Native {
    pub(super) fn new(draining: CancellationToken, routes: Routes) -> Self {
        Self { draining, routes }
    }

    pub(super) fn call<B: RequestBody>(&self, conn: &Arc<Conn>, request: Request<B>) -> Answering {
        match Method::find(request.uri().path()) {
            Some(method) => self.known(conn, method, request),
            None => self.beside(conn, request),
        }
    }

    /// An RPC of the contract.
    fn known<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        method: Method,
        request: Request<B>,
    ) -> Answering {
        let Some(token) = conn.must_look_up(method, request.headers()) else {
            return self.of_known_session(conn, method, request);
        };
        let (this, conn) = (self.clone(), Arc::clone(conn));
        Answering::later(async move {
            let answering = match timeout(
                conn.service.limits().call_timeout,
                conn.service.look_up(token),
            )
            .await
            {
                Ok(Ok(())) => this.of_known_session(&conn, method, request),
                Ok(Err(error)) => refused(&conn, method, &error),
                Err(_) => refused(&conn, method, &deadline::exceeded()),
            };
            match answering.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }

    fn of_known_session<B: RequestBody>(
        &self,
        conn: &Arc<Conn>,
        method: Method,
        request: Request<B>,
    ) -> Answering {
        let call = match self.let_in(conn, method, request.headers()) {
            Ok(call) => call,
            Err(error) => return refused(conn, method, &error),
        };
        Answering::Later(dispatch(Arc::new(call), request))
    }

    fn let_in(&self, conn: &Arc<Conn>, method: Method, headers: &HeaderMap) -> Result<Call, Error> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        Call::begin(conn, method, headers)
    }

    /// Health and reflection, which stay open while the server drains, or nothing that we know.
    fn beside<B: RequestBody>(&self, conn: &Arc<Conn>, request: Request<B>) -> Answering {
        let path = request.uri().path();
        if !path.starts_with("/grpc.health.v1.") && !path.starts_with("/grpc.reflection.v1") {
            let sentence = format!(
                "there is no RPC {}; reflection lists those that there are",
                path.escape_default()
            );
            return Answering::ready(
                Status::unimplemented(sentence).into_http().map(ReplyBody::tonic),
            );
        }
        let closing = conn.info.closing.clone();
        let answering = self.routes.clone().call(request.map(Body::new));
        Answering::later(async move {
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

/// The answer to a call that was not let in.
fn refused(conn: &Conn, method: Method, error: &Error) -> Answering {
    conn.service.metrics().failed(method, error.reason());
    log_internal(method, error);
    Answering::ready(pb::status(error).into_http().map(ReplyBody::tonic))
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
    S: tower::Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    match server.call(request).await {
        Ok(response) => Ok(response.map(ReplyBody::tonic)),
        Err(never) => match never {},
    }
}

/// Holds a call to its deadline, turns a panic into INTERNAL, and gives a reason to a refusal that
/// has none yet.
pub(super) fn guarded(
    call: Arc<Call>,
    answering: impl Future<Output = Result<Response<ReplyBody>, Status>> + Send + 'static,
) -> Handling {
    Box::pin(async move {
        let answering = pin!(answering);
        guard(&call, answering).await
    })
}

async fn guard(
    call: &Call,
    answering: Pin<&mut (dyn Future<Output = Result<Response<ReplyBody>, Status>> + Send)>,
) -> Response<ReplyBody> {
    // A stream holds itself to the deadline; this is the time to its first headers.
    match deadline::within(call.end, AssertUnwindSafe(answering).catch_unwind()).await {
        Some(Ok(Ok(response))) => match Status::from_header_map(response.headers()) {
            None => response,
            Some(status) => refused_by_tonic(call, status),
        },
        Some(Ok(Err(status))) => refused_by_tonic(call, status),
        Some(Err(panic)) => answer(call.panicked(&*panic)),
        None => answer(call.fail(&deadline::exceeded())),
    }
}

/// A response that is a status alone.
fn answer(status: Status) -> Response<ReplyBody> {
    status.into_http().map(ReplyBody::tonic)
}

/// The response to a call that failed: by the server's own status, or by one of tonic's or the
/// glue's, which lacks a reason.
fn refused_by_tonic(call: &Call, status: Status) -> Response<ReplyBody> {
    answer(match unreadable(&status) {
        Some(error) if !call.has_failed() => call.fail(&error),
        Some(_) | None => status,
    })
}

/// What tonic says of a message that it could not read, in the contract's words.
pub(super) fn unreadable(status: &Status) -> Option<Error> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "gRPC's codes, of which tonic uses these for unreadable messages"
    )]
    match status.code() {
        Code::Internal => {
            Some(Error::new(Reason::InvalidMessage, "the message is no message of this RPC"))
        }
        Code::OutOfRange => Some(Error::new(
            Reason::InvalidMessage,
            format!(
                "the message is too large; at most {MAX_MESSAGE_BYTES} bytes (4 MiB) are allowed"
            ),
        )),
        _ => None,
    }
}
