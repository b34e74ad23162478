//! The socket layer of the legacy protocols: a protocol's codec on a connection, its actions run by
//! the service.
//!
//! `session` is the identity of a connection and runs its actions; `stream` carries bare TCP,
//! `websocket` messages after a `handshake`, `datagram` UDP; `fair` keeps a few greedy clients from
//! taking the threads or the memory of the others. None of them knows a protocol's bytes: those are
//! the codec's.

mod datagram;
mod fair;
mod handshake;
mod room;
mod session;
mod stream;
mod websocket;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use self::fair::WorkBudget;
use self::session::SocketSession;
use super::client_stream::ClientStream;
use super::http::Browsers;
use super::unsent::bound_in_system;
use super::{AcceptedConnection, ConnectionHandler};
use crate::dialect::codec::{Action, ActionResult};
use crate::dialect::{Dialect, Transport};
use crate::service::Service;
use crate::service::metrics::ProtocolCalls;

pub use datagram::serve as serve_datagrams;
pub use fair::FairScheduler;

/// Time that a client has to take a reply from the system's buffers; one that does not read must
/// not hold the reply's memory for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a connection is still read from after the last reply. Closing with unread bytes
/// would reset it and lose the reply.
const LINGER: Duration = Duration::from_secs(1);

/// Size of the system's send buffer in bytes; by default it can grow to 4 MiB per connection.
const SEND_BUFFER: usize = 128 << 10;
/// Maximum number of bytes in the send buffer beyond the client's window. These clients ask for
/// little; one that asks for much and does not read is stopped soon.
const MAX_NOT_SENT: u32 = 16 << 10;

/// Limits of a protocol's connections.
#[derive(Clone, Debug)]
pub struct SocketLimits {
    /// Longest time that a connection may stay open without a request; `None` is no limit.
    pub idle: Option<Duration>,
    /// Time for the opening handshake of a WebSocket.
    pub handshake: Duration,
    /// Silence after which a WebSocket's peer is sent a ping.
    pub ping_after: Duration,
    /// Time that the peer has to answer a ping.
    pub pong_within: Duration,
    /// Pages that may open a WebSocket. Clients other than browsers send no origin.
    pub browsers: Arc<Browsers>,
}

/// Handler of one protocol on TCP, bare or as a WebSocket.
pub struct SocketHandler {
    service: Arc<Service>,
    calls: Arc<ProtocolCalls>,
    dialect: &'static Dialect,
    limits: Arc<SocketLimits>,
    scheduler: Arc<FairScheduler>,
}

impl SocketHandler {
    /// Creates a handler that runs commands on `service`. For a protocol on datagrams, connections
    /// are closed at once.
    pub fn new(
        service: Arc<Service>,
        dialect: &'static Dialect,
        limits: SocketLimits,
        scheduler: Arc<FairScheduler>,
    ) -> Self {
        let calls = Arc::new(service.metrics().protocol(dialect.name));
        Self { service, calls, dialect, limits: Arc::new(limits), scheduler }
    }
}

impl ConnectionHandler for SocketHandler {
    fn serve(&self, connection: AcceptedConnection) -> BoxFuture<'static, ()> {
        let (service, limits, peer) =
            (Arc::clone(&self.service), Arc::clone(&self.limits), connection.peer);
        if let Err(error) = bound_buffers(&connection.stream) {
            let protocol = self.dialect.name;
            tracing::debug!(protocol, %peer, %error, "the send buffer keeps its size");
        }
        let budget = WorkBudget::new(Arc::clone(&self.scheduler));
        let mut session = SocketSession::new(
            Arc::clone(&self.service),
            Arc::clone(&self.calls),
            self.dialect,
            peer,
        );
        let serving: BoxFuture<'static, ()> = match self.dialect.transport {
            Transport::Tcp(open) => {
                let codec = open();
                Box::pin(async move {
                    begin(&mut session).await;
                    stream::serve(connection, codec, session, limits, budget).await;
                })
            }
            Transport::WebSocket(open) => {
                let codec = open();
                Box::pin(async move {
                    begin(&mut session).await;
                    websocket::serve(connection, codec, session, limits, budget).await;
                })
            }
            Transport::Udp(_) => Box::pin(std::future::ready(())),
        };
        let protocol = self.dialect.name;
        Box::pin(async move {
            if AssertUnwindSafe(serving).catch_unwind().await.is_err() {
                service.metrics().panicked();
                tracing::error!(protocol, %peer, "serving a connection panicked; it was closed");
            }
        })
    }
}

/// Opens the session of a client that is named by its port. Boxed: this may wait for the store's
/// engine, and an idle connection should not keep the memory of that future.
fn begin(session: &mut SocketSession) -> BoxFuture<'_, ()> {
    Box::pin(session.begin())
}

fn bound_buffers(stream: &TcpStream) -> std::io::Result<()> {
    bound_in_system(stream, MAX_NOT_SENT)?;
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)
}

/// Runs one action; the connection's permit is released if the action has to wait.
async fn run(session: &mut SocketSession, action: Action, budget: &mut WorkBudget) -> ActionResult {
    // Boxed, so that an idle connection's future has no room for this large one.
    let mut running = Box::pin(session.run(action));
    match running.as_mut().now_or_never() {
        Some(answer) => answer,
        None => {
            budget.release();
            running.await
        }
    }
}

/// Shuts down writing and waits for a bounded time until the client has closed too.
async fn close(stream: TcpStream) {
    // An error is ignored: the connection ends anyway.
    let _ = ClientStream::new(stream, Bytes::new()).shutdown().await;
}
