//! The opening handshake of a WebSocket: an HTTP/1.1 request (RFC 6455, section 4.2).

use std::future::{poll_fn, ready};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::listen::http::RequestRule;

/// Maximum size of the request in bytes, which is also hyper's minimum.
const MAX_REQUEST_BYTES: usize = 8 << 10;

const METHOD: &str = "only GET opens a WebSocket";
const HTTP: &str = "only HTTP/1.1 opens a WebSocket";
const NO_HOST: &str = "a request needs a Host header";
const WEBSOCKET: &str =
    "this port speaks WebSocket; connect to ws:// with a client of this dialect";
const VERSION: &str = "only version 13 of the WebSocket protocol is spoken here (RFC 6455)";
const KEY: &str = "Sec-WebSocket-Key must be 16 bytes in base64";

type HandshakeResponse = Response<Full<Bytes>>;

/// Outcome of a handshake.
pub(super) enum Handshake {
    /// The connection is a WebSocket.
    Accepted(Box<WebSocketStream<TcpStream>>),
    /// The handshake failed; an HTTP client was told the reason.
    Refused(TcpStream),
}

/// Answers one request. A WebSocket is opened for clients that send no Origin header, which
/// browsers always send, and for pages that `rule` allows. A page of any other site could drive a
/// server on its visitor's machine.
pub(super) async fn accept(
    stream: TcpStream,
    rule: &RequestRule,
    config: WebSocketConfig,
) -> Handshake {
    let open = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, rule);
        open.store(answer.status() == StatusCode::SWITCHING_PROTOCOLS, Ordering::Relaxed);
        ready(Ok::<_, std::convert::Infallible>(answer))
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(MAX_REQUEST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let served = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    if served.is_err() || !open.load(Ordering::Relaxed) {
        return Handshake::Refused(stream);
    }
    let read = parts.read_buf.to_vec();
    let socket =
        WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
    Handshake::Accepted(Box::new(socket))
}

fn answer(request: &Request<Incoming>, rule: &RequestRule) -> HandshakeResponse {
    let headers = request.headers();
    if !headers.contains_key(HOST) {
        return refusal(StatusCode::BAD_REQUEST, NO_HOST, &[]);
    }
    if let Err(why) = rule.check(request.uri(), headers) {
        return refusal(StatusCode::FORBIDDEN, &why.to_string(), &[]);
    }
    let error = match create_response_with_body(request, Full::default) {
        Ok(answer) => return answer,
        Err(error) => error,
    };
    const UPGRADES: &[(HeaderName, &str)] =
        &[(CONNECTION, "upgrade, close"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13")];
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else is wrong with a request than its key"
    )]
    match error {
        Error::Protocol(ProtocolError::WrongHttpMethod) => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, METHOD, &[(ALLOW, "GET")])
        }
        Error::Protocol(ProtocolError::WrongHttpVersion) => {
            refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED, HTTP, &[])
        }
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => refusal(StatusCode::UPGRADE_REQUIRED, WEBSOCKET, UPGRADES),
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            refusal(StatusCode::UPGRADE_REQUIRED, VERSION, UPGRADES)
        }
        _ => refusal(StatusCode::BAD_REQUEST, KEY, &[]),
    }
}

fn refusal(
    status: StatusCode,
    sentence: &str,
    headers: &[(HeaderName, &'static str)],
) -> HandshakeResponse {
    let mut answer = Response::new(Full::from(format!("{sentence}\n")));
    *answer.status_mut() = status;
    let fixed = [(CONNECTION, "close"), (CONTENT_TYPE, "text/plain; charset=utf-8")];
    for (name, value) in fixed.iter().chain(headers) {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
