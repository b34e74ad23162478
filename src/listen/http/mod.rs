//! Serving HTTP on a connection: TLS if the door has it, the first bytes, then HTTP/2 or HTTP/1,
//! each with its deadlines.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use self::drive::Begun;
use self::first_bytes::{Opening, read_opening};
use self::rewind::Rewind;
use super::unsent::{Account, bound_in_system};
use super::{Closing, ConnInfo, Connection, Door};

mod counted;
mod drive;
mod first_bytes;
mod refuse;
mod rewind;
mod service;

pub use service::{HttpService, Tower};

/// What all responses of a door that are made and not yet on the wire may come to. Beyond it, the
/// connection of the one that waits longest is closed.
const MAX_UNSENT_BYTES: usize = 256 << 20;
/// What the system keeps of it for one connection, beyond the client's window.
const MAX_NOT_SENT: u32 = 64 << 10;

/// What the connections of an HTTP door may take, and how long.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// From the end of the handshakes to the first 24 bytes, or to the first that tell it is no
    /// HTTP/2.
    pub first_bytes: Duration,
    /// The TLS handshake. Also how long an HTTP/1 connection may take over a request's header, or
    /// idle between two.
    pub handshake: Duration,
    /// Silence after which an HTTP/2 peer is sent a PING.
    pub keepalive_interval: Duration,
    /// What it has to answer that.
    pub keepalive_timeout: Duration,
    /// HTTP/2 streams open at once.
    pub streams: u32,
    /// Bytes of a request's header list.
    pub header_bytes: u32,
    /// A connection this old (± 10 %, so that not all come back at once) is told to go elsewhere
    /// (GOAWAY).
    pub age: Duration,
    /// What its streams get from then until they are told to end; one second later it is cut.
    pub closing_notice: Duration,
}

/// The TLS configuration that the next connection gets; whoever holds it may put in a newer one.
pub type SharedTls = Arc<ArcSwap<ServerConfig>>;

/// A door that speaks HTTP/2 and HTTP/1, with TLS or without.
pub struct HttpDoor<S> {
    service: S,
    tls: Option<SharedTls>,
    bounds: Arc<Bounds>,
}

/// What the connections of a door are held to.
struct Bounds {
    limits: HttpLimits,
    unsent: Arc<Account>,
}

impl<S: HttpService> HttpDoor<S> {
    /// A door that answers with `service`.
    pub fn new(service: S, tls: Option<SharedTls>, limits: HttpLimits) -> Self {
        let bounds = Bounds { limits, unsent: Account::new(MAX_UNSENT_BYTES) };
        Self { service, tls, bounds: Arc::new(bounds) }
    }
}

impl<S: HttpService> Door for HttpDoor<S> {
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
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

async fn serve_plain<S: HttpService>(connection: Connection, service: S, bounds: Arc<Bounds>) {
    // Boxed, as what it gives: the connection keeps only what it is woken for.
    if let Some(opened) = Box::pin(open_plain(connection, bounds)).await {
        serve_opened(opened, &service).await;
    }
}

async fn open_plain(connection: Connection, bounds: Arc<Bounds>) -> Option<Opened<TcpStream>> {
    let Connection { mut stream, peer, local, permit, draining } = connection;
    let info =
        ConnInfo { peer, local, tls: false, peer_certificates: None, closing: Closing::default() };
    let deadline = Instant::now() + bounds.limits.first_bytes;
    let opening = opening(&mut stream, deadline, &info, &draining).await?;
    if opening.is_tls() {
        tracing::debug!(%peer, "closed: it speaks TLS, and this port does not");
        refuse::tls_on_plain_port(stream).await;
        return None;
    }
    Some(Opened { stream, opening, begun: Begun { info, permit, bounds, draining } })
}

async fn serve_tls<S: HttpService>(
    connection: Connection,
    acceptor: TlsAcceptor,
    service: S,
    bounds: Arc<Bounds>,
) {
    if let Some(opened) = Box::pin(open_tls(connection, acceptor, bounds)).await {
        serve_opened(opened, &service).await;
    }
}

async fn open_tls(
    connection: Connection,
    acceptor: TlsAcceptor,
    bounds: Arc<Bounds>,
) -> Option<Opened<Box<TlsStream<TcpStream>>>> {
    let Connection { mut stream, peer, local, permit, draining } = connection;
    let mut info =
        ConnInfo { peer, local, tls: true, peer_certificates: None, closing: Closing::default() };
    let deadline = Instant::now() + bounds.limits.handshake;
    if !speaks_tls(&stream, deadline, &info, &bounds.limits, &draining).await? {
        tracing::debug!(%peer, "closed: no TLS on a TLS port");
        let opening = opening(&mut stream, deadline, &info, &draining).await?;
        refuse::plain_on_tls_port(stream, &opening).await;
        return None;
    }
    let stream = tokio::select! {
        shaken = timeout_at(deadline, Box::pin(acceptor.accept(stream))) => shaken,
        () = draining.cancelled() => return None,
    };
    // The stream is large: boxed, it is not moved about with the future.
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
    let opening = opening(&mut stream, deadline, &info, &draining).await?;
    Some(Opened { stream, opening, begun: Begun { info, permit, bounds, draining } })
}

/// Whether the first byte is one of TLS; `None`: none came.
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
        () = draining.cancelled() => return None,
    };
    match peeked {
        Ok(Ok(1..)) => return Some(first_bytes::is_tls(&first)),
        Ok(Ok(0)) => tracing::debug!(%peer, "closed before it said anything"),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the connection failed"),
        Err(_) => tracing::debug!(%peer, "closed: silent for {:?}", limits.handshake),
    }
    None
}

/// The first bytes, if they come in time and the server is not about to stop.
async fn opening<IO: AsyncRead + Unpin>(
    stream: &mut IO,
    deadline: Instant,
    info: &ConnInfo,
    draining: &CancellationToken,
) -> Option<Opening> {
    let peer = info.peer;
    tokio::select! {
        read = timeout_at(deadline, read_opening(stream)) => match read {
            Ok(Ok(Some(opening))) => Some(opening),
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
        () = draining.cancelled() => None,
    }
}

/// A connection whose first bytes are there.
struct Opened<IO> {
    stream: IO,
    opening: Opening,
    begun: Begun,
}

fn serve_opened<IO, S>(opened: Opened<IO>, service: &S) -> BoxFuture<'static, ()>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let Opened { stream, opening, begun } = opened;
    begun.permit.spoke();
    let http2 = opening.is_http2();
    let stream = Rewind::new(stream, opening.into_bytes());
    if http2 {
        Box::pin(drive::http2(stream, service, begun))
    } else {
        Box::pin(drive::http1(stream, service, begun))
    }
}
