//! What a door is, and what it is handed.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Closing, Permit};

/// A way in: serves the connections of its listeners, one call each.
///
/// The future is dropped when the connection must end at once: the process stops, or somebody else
/// needs its place.
pub trait Door: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()>;
}

/// One accepted connection, on the thread that will serve it.
#[derive(Debug)]
pub struct Connection {
    /// The socket, without Nagle's delay and with TCP keepalive.
    pub stream: TcpStream,
    /// Who is on the other side.
    pub peer: SocketAddr,
    /// The address that was connected to.
    pub local: SocketAddr,
    /// Its place among the door's connections, given back when dropped. Call [`Permit::spoke`] when
    /// the peer has.
    pub permit: Permit,
    /// Cancelled when the server stops: finish what is running, begin nothing, close.
    pub draining: CancellationToken,
}

/// What a call may know of the connection that it came by.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// Who is on the other side; an IPv4 address is one, also where it came by an IPv6 socket.
    pub peer: SocketAddr,
    /// The address that was connected to.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The certificates that the client proved to hold, its own first.
    pub peer_certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
    /// Cancelled when the connection is about to end; long streams end by themselves then, and say
    /// so.
    pub closing: Closing,
}
