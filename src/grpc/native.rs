//! Native gRPC: each call is found in the table of RPCs, let in or refused, timed, and kept from taking the server down.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::call::{Api, Call, draining, log_internal};
use super::{Answering, body, deadline, stream};
use crate::listen::ConnInfo;
use crate::model::{Error, MAX_MESSAGE_BYTES, Reason};
use crate::pb;
use crate::pb::v1::auth_service_server::AuthServiceServer;
use crate::pb::v1::calculator_service_server::CalculatorServiceServer;
use crate::pb::v1::chat_service_server::ChatServiceServer;
use crate::pb::v1::clock_service_server::ClockServiceServer;
use crate::pb::v1::codec_service_server::CodecServiceServer;
use crate::pb::v1::key_value_service_server::KeyValueServiceServer;
use crate::pb::v1::server_service_server::ServerServiceServer;
use crate::service::{Answer, Method, Service};

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
    service: Arc<Service>,
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
    pub(super) fn new(service: Arc<Service>, draining: CancellationToken, routes: Routes) -> Self {
        Self {
            service,
            draining,
            routes,
            key_value: KeyValueServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES + ENVELOPE),
            auth: AuthServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            chat: ChatServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            server: ServerServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            codec: CodecServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            clock: ClockServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
            calculator: CalculatorServiceServer::new(Api).max_decoding_message_size(MAX_MESSAGE_BYTES),
        }
    }

    pub(super) fn call(&mut self, request: Request<Body>) -> Answering {
        match Method::find(request.uri().path()) {
            Some(method) => self.known(method, request),
            None => self.beside(request),
        }
    }

    /// An RPC of the contract.
    fn known(&mut self, method: Method, mut request: Request<Body>) -> Answering {
        let call = match self.let_in(method, &request) {
            Ok(call) => Arc::new(call),
            Err(error) => {
                self.service.metrics().failed(method, error.reason());
                log_internal(method, &error);
                return ready(pb::status(&error).into_http());
            }
        };
        request.extensions_mut().insert(Arc::clone(&call));
        let answering = self.dispatch(Arc::clone(&call), request);
        Box::pin(async move { Ok(guard(call, answering).await) })
    }

    fn let_in(&self, method: Method, request: &Request<Body>) -> Result<Call, Error> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        let conn = request.extensions().get::<ConnInfo>();
        let conn = conn.ok_or_else(|| Error::internal("a request came without its connection"))?;
        Call::begin(&self.service, method, request.headers(), conn)
    }

    fn dispatch(&mut self, call: Arc<Call>, request: Request<Body>) -> Answering {
        match call.method {
            Method::Get
            | Method::Put
            | Method::Delete
            | Method::GetOther
            | Method::PutOther
            | Method::ListKeys
            | Method::Scan
            | Method::Batch => self.key_value.call(request),
            Method::Send | Method::ListMembers | Method::ListRooms => self.chat.call(request),
            Method::Chat => stream::chat(call, request),
            Method::Subscribe => stream::subscribe(call, request),
            Method::Watch => stream::watch(call, request),
            Method::SignIn
            | Method::Auth
            | Method::Upgrade
            | Method::Downgrade
            | Method::WhoAmI
            | Method::SignOut
            | Method::ListUsers
            | Method::ListAccesses => self.auth.call(request),
            Method::GetServerInfo => self.server.call(request),
            Method::Encode | Method::Decode => self.codec.call(request),
            Method::Now => self.clock.call(request),
            Method::Calculate => self.calculator.call(request),
        }
    }

    /// Health and reflection, which stay open while the server drains, or nothing that we know.
    fn beside(&mut self, request: Request<Body>) -> Answering {
        let path = request.uri().path();
        if !path.starts_with("/grpc.health.v1.") && !path.starts_with("/grpc.reflection.v1") {
            let sentence = format!("there is no RPC {}; reflection lists those that there are", path.escape_default());
            return ready(Status::unimplemented(sentence).into_http());
        }
        let closing = match request.extensions().get::<ConnInfo>() {
            Some(conn) => conn.closing.clone(),
            None => self.draining.clone(),
        };
        let answering = self.routes.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(response.map(|inner| Body::new(body::Until::new(inner, closing, pb::status(&draining())))))
        })
    }
}

/// Tags and lengths around a batch whose keys and values are as large as they may be.
const ENVELOPE: usize = 64 << 10;

/// Holds the call to its deadline, turns a panic into INTERNAL, and gives a reason to what tonic refused by itself.
async fn guard(call: Arc<Call>, answering: Answering) -> Response<Body> {
    // A stream's own deadline is checked at each of its messages; this is the time to its first headers.
    let answered = deadline::within(call.end, AssertUnwindSafe(answering).catch_unwind()).await;
    let response = match answered {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(never))) => match never {},
        Some(Err(panic)) => {
            call.service.metrics().panicked();
            return call.fail(&Error::internal(format!("panicked: {}", text_of(&*panic)))).into_http();
        }
        None => return call.fail(&deadline::exceeded()).into_http(),
    };
    match refused_by_tonic(&call, &response) {
        Some(error) => call.fail(&error).into_http(),
        None => guard_stream(call, response),
    }
}

/// Why tonic refused the call by itself, if it did.
fn refused_by_tonic(call: &Call, response: &Response<Body>) -> Option<Error> {
    if call.has_failed() || !response.headers().contains_key(Status::GRPC_STATUS) {
        return None;
    }
    unreadable(&Status::from_header_map(response.headers())?)
}

/// What tonic says of a message that it could not read, in the contract's words.
pub(super) fn unreadable(status: &Status) -> Option<Error> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "gRPC's codes, of which tonic uses these for unreadable messages"
    )]
    match status.code() {
        Code::Internal => Some(Error::new(Reason::InvalidMessage, "the message is no message of this RPC")),
        Code::OutOfRange => Some(Error::new(
            Reason::InvalidMessage,
            format!("the message is too large; at most {MAX_MESSAGE_BYTES} bytes (4 MiB) are allowed"),
        )),
        _ => None,
    }
}

/// A stream keeps its call, and is kept from panicking unseen, until it ends.
fn guard_stream(call: Arc<Call>, response: Response<Body>) -> Response<Body> {
    match call.method.answer() {
        Answer::Unary => response,
        Answer::Stream => response.map(|inner| Body::new(body::Guarded::new(inner, call))),
    }
}

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

fn ready(response: Response<Body>) -> Answering {
    Box::pin(std::future::ready(Ok(response)))
}
