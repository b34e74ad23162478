//! The interface between the accept loop and the protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::http::RequestRule;
use super::{Closing, Permit};

/// Serves the connections of a protocol's listeners, one call per connection.
///
/// The returned future is dropped when the connection must end at once: the process stops, or a
/// newer connection needs its place.
pub trait ConnectionHandler: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(&self, connection: AcceptedConnection) -> BoxFuture<'static, ()>;
}

/// An accepted connection, on the thread that will serve it.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The socket, without Nagle's delay and with TCP keepalive.
    pub stream: TcpStream,
    /// Address of the peer.
    pub peer: SocketAddr,
    /// Address that the peer connected to.
    pub local: SocketAddr,
    /// Place among the protocol's connections, released on drop. Call [`Permit::mark_active`] once
    /// the peer has sent something valid.
    pub permit: Permit,
    /// Cancelled when the server stops: finish running requests, start no new ones, close.
    pub draining: CancellationToken,
}

/// Properties of a connection that its calls can see.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// Address of the peer; an IPv4 address that was mapped into IPv6 is given as IPv4.
    pub peer: SocketAddr,
    /// Address that the peer connected to.
    pub local: SocketAddr,
    /// True if the connection is encrypted.
    pub tls: bool,
    /// Certificates whose keys the client has proved to hold, its own first.
    pub peer_certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
    /// The rule for requests that a browser may have sent.
    pub requests: RequestRule,
    /// Cancelled when the connection is about to end; long streams then end with a status that says
    /// so.
    pub closing: Closing,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Handler that closes each connection.
    pub(in super::super) struct Closes;

    impl ConnectionHandler for Closes {
        fn serve(&self, _: AcceptedConnection) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }
}
