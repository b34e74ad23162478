//! HTTP on a connection: TLS if configured, detection by the first bytes, then HTTP/2 or HTTP/1,
//! each with its deadlines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use self::drive::ConnectionContext;
use self::first_bytes::{FirstBytes, read_first_bytes};
use super::client_stream::ClientStream;
use super::unsent::{MemoryBudget, bound_in_system};
use super::{AcceptedConnection, Closing, ConnInfo, ConnectionHandler};

mod browsers;
mod drive;
mod first_bytes;
mod metered;
mod refuse;
mod service;

pub use browsers::{Browsers, NotAllowed, RequestRule};
pub use service::{HttpService, Tower};

/// Maximum size of all responses of a protocol that are produced and not yet sent, in bytes. Beyond
/// it, the connection with the longest-waiting response is closed.
const MAX_UNSENT_BYTES: usize = 256 << 20;
/// Maximum number of unsent bytes that the system keeps for one connection beyond the client's
/// window.
const MAX_NOT_SENT: u32 = 64 << 10;
/// Time that a client has for its handshake and its first bytes once the server stops. A client
/// that connected a moment before is then told by a GOAWAY that its requests were not processed; a
/// closed connection would leave it in doubt.
const FIRST_BYTES_AT_STOP: Duration = Duration::from_millis(500);

/// Limits of HTTP connections, and of what browsers may do there.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Time from the end of the handshakes to the 24 bytes of the HTTP/2 preface, or to the first
    /// byte that differs from it.
    pub first_bytes: Duration,
    /// Time for the TLS handshake. For HTTP/1, also the time for a request's header and the idle
    /// time between two requests.
    pub handshake: Duration,
    /// Silence after which an HTTP/2 peer is sent a PING.
    pub keepalive_interval: Duration,
    /// Time that the peer has to answer a PING.
    pub keepalive_timeout: Duration,
    /// Maximum number of concurrent HTTP/2 streams.
    pub streams: u32,
    /// Maximum size of a request's header list, in bytes.
    pub header_bytes: u32,
    /// Age (± 10 %, so that clients do not all reconnect at once) at which a connection's client is
    /// asked to open another (GOAWAY).
    pub age: Duration,
    /// Pages that may call, and names that the server has on loopback.
    pub browsers: Arc<Browsers>,
    /// Time from the GOAWAY until the connection's streams without an end are told to end.
    pub closing_notice: Duration,
    /// Time from then until the connection is cut, at least a second: what calls with an end have
    /// to finish.
    pub grace: Duration,
}

/// TLS configuration of new connections; holders of a clone can replace it.
pub type SharedTls = Arc<ArcSwap<ServerConfig>>;

/// Protocol handler for HTTP/2 and HTTP/1, with or without TLS.
pub struct HttpHandler<S> {
    service: S,
    tls: Option<SharedTls>,
    bounds: Arc<Bounds>,
}

/// Limits shared by the connections of a protocol.
struct Bounds {
    limits: HttpLimits,
    unsent: Arc<MemoryBudget>,
}

impl<S: HttpService> HttpHandler<S> {
    /// Creates a handler that answers with `service`.
    pub fn new(service: S, tls: Option<SharedTls>, limits: HttpLimits) -> Self {
        let bounds = Bounds { limits, unsent: MemoryBudget::new(MAX_UNSENT_BYTES) };
        Self { service, tls, bounds: Arc::new(bounds) }
    }
}

impl<S: HttpService> ConnectionHandler for HttpHandler<S> {
    fn serve(&self, connection: AcceptedConnection) -> BoxFuture<'static, ()> {
        let service = self.service.clone();
        let bounds = Arc::clone(&self.bounds);
        if let Err(error) = bound_in_system(&connection.stream, MAX_NOT_SENT) {
            tracing::debug!(peer = %connection.peer, %error, "the send buffer keeps its size");
        }
        match &self.tls {
            Some(tls) => {
                Box::pin(serve_tls(connection, TlsAcceptor::from(tls.load_full()), service, bounds))
            }
            None => Box::pin(serve_plain(connection, service, bounds)),
        }
    }
}

async fn serve_plain<S: HttpService>(
    connection: AcceptedConnection,
    service: S,
    bounds: Arc<Bounds>,
) {
    // Both futures are boxed, so that the connection's task keeps only the state of the current
    // phase.
    if let Some(opened) = Box::pin(open_plain(connection, bounds)).await {
        serve_opened(opened, &service).await;
    }
}

async fn open_plain(
    connection: AcceptedConnection,
    bounds: Arc<Bounds>,
) -> Option<Opened<TcpStream>> {
    let AcceptedConnection { mut stream, peer, local, permit, draining } = connection;
    let info = info(&bounds, peer, local, false);
    let deadline = Instant::now() + bounds.limits.first_bytes;
    let first = first_bytes_of(&mut stream, deadline, &info, &draining).await?;
    if first.is_tls() {
        tracing::debug!(%peer, "closed: it speaks TLS, and this port does not");
        refuse::tls_on_plain_port(stream).await;
        return None;
    }
    Some(Opened { stream, first, context: ConnectionContext { info, permit, bounds, draining } })
}

async fn serve_tls<S: HttpService>(
    connection: AcceptedConnection,
    acceptor: TlsAcceptor,
    service: S,
    bounds: Arc<Bounds>,
) {
    if let Some(opened) = Box::pin(open_tls(connection, acceptor, bounds)).await {
        serve_opened(opened, &service).await;
    }
}

async fn open_tls(
    connection: AcceptedConnection,
    acceptor: TlsAcceptor,
    bounds: Arc<Bounds>,
) -> Option<Opened<Box<TlsStream<TcpStream>>>> {
    let AcceptedConnection { mut stream, peer, local, permit, draining } = connection;
    let mut info = info(&bounds, peer, local, true);
    let deadline = Instant::now() + bounds.limits.handshake;
    if !speaks_tls(&stream, deadline, &info, &bounds.limits, &draining).await? {
        tracing::debug!(%peer, "closed: no TLS on a TLS port");
        let first = first_bytes_of(&mut stream, deadline, &info, &draining).await?;
        refuse::plain_on_tls_port(stream, &first).await;
        return None;
    }
    let stream = tokio::select! {
        shaken = timeout_at(deadline, Box::pin(acceptor.accept(stream))) => shaken,
        () = stopping(&draining) => return None,
    };
    // The stream is large; boxed, it is not moved with the future.
    let mut stream = match stream {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "the TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "closed: no TLS handshake within {:?}", bounds.limits.handshake);
            return None;
        }
    };
    info.peer_certificates = stream
        .get_ref()
        .1
        .peer_certificates()
        .map(|chain| Arc::new(chain.iter().map(|c| c.clone().into_owned()).collect()));
    let deadline = Instant::now() + bounds.limits.first_bytes;
    let first = first_bytes_of(&mut stream, deadline, &info, &draining).await?;
    Some(Opened { stream, first, context: ConnectionContext { info, permit, bounds, draining } })
}

fn info(bounds: &Bounds, peer: SocketAddr, local: SocketAddr, tls: bool) -> ConnInfo {
    let requests = RequestRule::new(Arc::clone(&bounds.limits.browsers), local, tls);
    ConnInfo { peer, local, tls, peer_certificates: None, requests, closing: Closing::default() }
}

/// Completes when the server stops and the client has had its time.
async fn stopping(draining: &CancellationToken) {
    draining.cancelled().await;
    sleep(FIRST_BYTES_AT_STOP).await;
}

/// Peeks at the first byte and returns whether it is TLS, or `None` if no byte arrived.
async fn speaks_tls(
    stream: &TcpStream,
    deadline: Instant,
    info: &ConnInfo,
    limits: &HttpLimits,
    draining: &CancellationToken,
) -> Option<bool> {
    let (peer, mut first) = (info.peer, [0]);
    let peeked = tokio::select! {
        peeked = timeout_at(deadline, stream.peek(&mut first)) => peeked,
        () = stopping(draining) => return None,
    };
    match peeked {
        Ok(Ok(1..)) => return Some(first_bytes::is_tls(&first)),
        Ok(Ok(0)) => tracing::debug!(%peer, "closed before it said anything"),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the connection failed"),
        Err(_) => tracing::debug!(%peer, "closed: silent for {:?}", limits.handshake),
    }
    None
}

/// Returns the first bytes, or `None` if they are late or the server stops.
async fn first_bytes_of<IO: AsyncRead + Unpin>(
    stream: &mut IO,
    deadline: Instant,
    info: &ConnInfo,
    draining: &CancellationToken,
) -> Option<FirstBytes> {
    let peer = info.peer;
    tokio::select! {
        read = timeout_at(deadline, read_first_bytes(stream)) => match read {
            Ok(Ok(Some(first))) => Some(first),
            Ok(Ok(None)) => {
                tracing::debug!(%peer, "closed before it said what it speaks");
                None
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "the connection failed");
                None
            }
            Err(_) => {
                tracing::debug!(%peer, "closed: it took too long to say what it speaks");
                None
            }
        },
        () = stopping(draining) => None,
    }
}

/// A connection whose first bytes have been read.
struct Opened<IO> {
    stream: IO,
    first: FirstBytes,
    context: ConnectionContext,
}

fn serve_opened<IO, S>(opened: Opened<IO>, service: &S) -> BoxFuture<'static, ()>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let Opened { stream, first, context } = opened;
    context.permit.mark_active();
    let http2 = first.is_http2();
    let stream = ClientStream::new(stream, first.into_bytes());
    if http2 {
        Box::pin(drive::http2(stream, service, context))
    } else {
        Box::pin(drive::http1(stream, service, context))
    }
}
