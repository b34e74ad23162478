//! Native gRPC: each call is found in the table of RPCs, let in or refused, timed, and kept from
//! taking the server down.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::body::ReplyBody;
use super::call::{Api, Call, draining, log_internal};
use super::conn::Conn;
use super::{Answering, at_once, body, deadline, stream};
use crate::model::{Error, MAX_MESSAGE_BYTES, Reason};
use crate::pb;
use crate::pb::v1::auth_service_server::AuthServiceServer;
use crate::pb::v1::calculator_service_server::CalculatorServiceServer;
use crate::pb::v1::chat_service_server::ChatServiceServer;
use crate::pb::v1::clock_service_server::ClockServiceServer;
use crate::pb::v1::codec_service_server::CodecServiceServer;
use crate::pb::v1::key_value_service_server::KeyValueServiceServer;
use crate::pb::v1::server_service_server::ServerServiceServer;
use crate::service::{Answer, Method};

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
    key_value: KeyValueServiceServer<Api>,
    auth: AuthServiceServer<Api>,
    chat: ChatServiceServer<Api>,
    server: ServerServiceServer<Api>,
    codec: CodecServiceServer<Api>,
    clock: ClockServiceServer<Api>,
    calculator: CalculatorServiceServer<Api>,
}

impl Native {
    pub(super) fn new(draining: CancellationToken, routes: Routes) -> Self {
        Self {
            draining,
            routes,
            key_value: KeyValueServiceServer::new(Api)
                .max_decoding_message_size(MAX_MESSAGE_BYTES + ENVELOPE),
            auth: AuthServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            chat: ChatServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            server: ServerServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            codec: CodecServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            clock: ClockServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            calculator: CalculatorServiceServer::new(Api)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        }
    }

    pub(super) fn call<B: Incoming>(&self, conn: &Arc<Conn>, request: Request<B>) -> Answering {
        match Method::find(request.uri().path()) {
            Some(method) => self.known(conn, method, request),
            None => self.beside(conn, request),
        }
    }

    /// An RPC of the contract.
    fn known<B: Incoming>(
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

    fn of_known_session<B: Incoming>(
        &self,
        conn: &Arc<Conn>,
        method: Method,
        request: Request<B>,
    ) -> Answering {
        let call = match self.let_in(conn, method, request.headers()) {
            Ok(call) => call,
            Err(error) => return refused(conn, method, &error),
        };
        let (head, body) = request.into_parts();
        let body = match at_once::answer(&call, body) {
            Ok(response) => return Answering::ready(response),
            Err(body) => body,
        };
        let (call, mut request) = (Arc::new(call), Request::from_parts(head, Body::new(body)));
        request.extensions_mut().insert(Arc::clone(&call));
        let answering = self.dispatch(&call, request);
        Answering::later(async move { guard(call, answering).await })
    }

    fn let_in(&self, conn: &Arc<Conn>, method: Method, headers: &HeaderMap) -> Result<Call, Error> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        Call::begin(conn, method, headers)
    }

    fn dispatch(&self, call: &Arc<Call>, request: Request<Body>) -> Handling {
        match call.method {
            Method::Get
            | Method::Put
            | Method::Delete
            | Method::GetOther
            | Method::PutOther
            | Method::ListKeys
            | Method::Scan
            | Method::Batch => generated(self.key_value.clone(), request),
            Method::Send | Method::ListMembers | Method::ListRooms => {
                generated(self.chat.clone(), request)
            }
            Method::Pipeline => stream::pipeline(Arc::clone(call), request),
            Method::Chat => stream::chat(Arc::clone(call), request),
            Method::Subscribe => stream::subscribe(Arc::clone(call), request),
            Method::Watch => stream::watch(Arc::clone(call), request),
            Method::SignIn
            | Method::Auth
            | Method::Upgrade
            | Method::Downgrade
            | Method::WhoAmI
            | Method::SignOut
            | Method::ListUsers
            | Method::ListAccesses => generated(self.auth.clone(), request),
            Method::GetServerInfo => generated(self.server.clone(), request),
            Method::Encode | Method::Decode => generated(self.codec.clone(), request),
            Method::Now => generated(self.clock.clone(), request),
            Method::Calculate => generated(self.calculator.clone(), request),
        }
    }

    /// Health and reflection, which stay open while the server drains, or nothing that we know.
    fn beside<B: Incoming>(&self, conn: &Arc<Conn>, request: Request<B>) -> Answering {
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

/// The body of a request.
pub(super) trait Incoming:
    HttpBody<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>> + Send + Unpin>
    + Send
    + Unpin
    + 'static
{
}

impl<
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>> + Send + Unpin>
        + Send
        + Unpin
        + 'static,
> Incoming for B
{
}

/// What a handler does with a call.
pub(super) type Handling = Pin<Box<dyn Future<Output = Response<ReplyBody>> + Send>>;

/// Has a generated service answer.
fn generated<S>(mut service: S, request: Request<Body>) -> Handling
where
    S: tower::Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
{
    let answering = service.call(request);
    Box::pin(async move {
        match answering.await {
            Ok(response) => response.map(ReplyBody::tonic),
            Err(never) => match never {},
        }
    })
}

/// Tags and lengths around a batch whose keys and values are as large as they may be.
const ENVELOPE: usize = 64 << 10;

/// Holds the call to its deadline, turns a panic into INTERNAL, and gives a reason to what tonic
/// refused by itself.
async fn guard(call: Arc<Call>, answering: Handling) -> Response<ReplyBody> {
    // A stream's own deadline is checked at each of its messages; this is the time to its first
    // headers.
    let answered = deadline::within(call.end, AssertUnwindSafe(answering).catch_unwind()).await;
    let response = match answered {
        Some(Ok(response)) => response,
        Some(Err(panic)) => return panicked(&call, &*panic),
        None => return call.fail(&deadline::exceeded()).into_http().map(ReplyBody::tonic),
    };
    match refused_by_tonic(&call, response.headers()) {
        Some(error) => call.fail(&error).into_http().map(ReplyBody::tonic),
        None => guard_stream(call, response),
    }
}

/// The answer of a call whose handler panicked.
pub(super) fn panicked(call: &Call, panic: &(dyn Any + Send)) -> Response<ReplyBody> {
    call.service().metrics().panicked();
    call.fail(&Error::internal(format!("panicked: {}", text_of(panic))))
        .into_http()
        .map(ReplyBody::tonic)
}

/// Why tonic refused the call by itself, if it did.
fn refused_by_tonic(call: &Call, headers: &HeaderMap) -> Option<Error> {
    if call.has_failed() || !headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    unreadable(&Status::from_header_map(headers)?)
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

/// A stream keeps its call, and is kept from panicking unseen, until it ends.
fn guard_stream(call: Arc<Call>, response: Response<ReplyBody>) -> Response<ReplyBody> {
    match call.method.answer() {
        Answer::Unary => response,
        Answer::Stream => response.map(|inner| ReplyBody::stream(body::Guarded::new(inner, call))),
    }
}

pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
