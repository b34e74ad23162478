//! The doors of the older socket protocols: a dialect's codec on a connection, its actions run by
//! the service.
//!
//! `member` is who a connection acts as, and runs its actions; `stream` carries bare TCP,
//! `websocket` messages, which a `handshake` comes before, `datagram` UDP; `share` is what keeps a
//! few greedy clients from taking the threads or the memory of the rest. None of them knows a
//! dialect: that is the codec's.

mod datagram;
mod handshake;
mod member;
mod room;
mod share;
mod stream;
mod websocket;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::member::Member;
use self::share::Pace;
use super::unsent::bound_in_system;
use super::{Connection, Door};
use crate::dialect::codec::{Action, Answer};
use crate::dialect::{Dialect, Transport};
use crate::service::Service;
use crate::service::metrics::DoorCalls;

pub use datagram::serve as serve_datagrams;
pub use share::Share;

/// What a client gets to take a reply from the system's buffers: one that reads nothing must not
/// hold the reply for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is read from after the last reply: closing with bytes unread would reset
/// it, and lose the reply.
const LINGER: Duration = Duration::from_secs(1);

/// What the system keeps of replies for a client that does not read: without a bound, up to 4 MiB a
/// connection.
const SEND_BUFFER: usize = 128 << 10;
/// What of it may be beyond the client's window: these clients ask for little, and who asks for
/// much and reads nothing is to stop soon.
const MAX_NOT_SENT: u32 = 16 << 10;

/// What the connections of a dialect's door may take, and how long.
#[derive(Clone, Debug)]
pub struct SocketLimits {
    /// How long a connection may stay without a request; `None`: for ever.
    pub idle: Option<Duration>,
    /// The opening handshake of a WebSocket.
    pub handshake: Duration,
    /// Silence after which a WebSocket's peer is sent a ping.
    pub ping_after: Duration,
    /// What it has to answer that.
    pub pong_within: Duration,
    /// Origins whose pages may open a WebSocket; a client that is no browser sends none, and is
    /// served.
    pub allow_origins: Vec<HeaderValue>,
}

/// The door of one dialect on TCP, bare or as a WebSocket.
pub struct SocketDoor {
    service: Arc<Service>,
    calls: Arc<DoorCalls>,
    dialect: &'static Dialect,
    limits: Arc<SocketLimits>,
    share: Arc<Share>,
}

impl SocketDoor {
    /// A door to `service`. A dialect of datagrams has none: its connections are closed at once.
    pub fn new(
        service: Arc<Service>,
        dialect: &'static Dialect,
        limits: SocketLimits,
        share: Arc<Share>,
    ) -> Self {
        let calls = Arc::new(service.metrics().door(dialect.name));
        Self { service, calls, dialect, limits: Arc::new(limits), share }
    }
}

impl Door for SocketDoor {
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let (service, limits, peer) =
            (Arc::clone(&self.service), Arc::clone(&self.limits), connection.peer);
        if let Err(error) = bound_buffers(&connection.stream) {
            tracing::debug!(door = self.dialect.name, %peer, %error, "the send buffer keeps its size");
        }
        let pace = Pace::new(Arc::clone(&self.share));
        let mut member =
            Member::new(Arc::clone(&self.service), Arc::clone(&self.calls), self.dialect, peer);
        let serving: BoxFuture<'static, ()> = match self.dialect.transport {
            Transport::Tcp(open) => {
                let codec = open();
                Box::pin(async move {
                    begin(&mut member).await;
                    stream::serve(connection, codec, member, limits, pace).await;
                })
            }
            Transport::WebSocket(open) => {
                let codec = open();
                Box::pin(async move {
                    begin(&mut member).await;
                    websocket::serve(connection, codec, member, limits, pace).await;
                })
            }
            Transport::Udp(_) => Box::pin(std::future::ready(())),
        };
        let door = self.dialect.name;
        Box::pin(async move {
            if AssertUnwindSafe(serving).catch_unwind().await.is_err() {
                service.metrics().panicked();
                tracing::error!(door, %peer, "serving a connection panicked; it was closed");
            }
        })
    }
}

/// Opens the session of a client that its port names. Boxed: opening one may take a server's help,
/// for which an idle connection keeps no room.
fn begin(member: &mut Member) -> BoxFuture<'_, ()> {
    Box::pin(member.begin())
}

fn bound_buffers(stream: &TcpStream) -> std::io::Result<()> {
    bound_in_system(stream, MAX_NOT_SENT)?;
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)
}

/// Runs one action; while it waits for somebody else, the connection's turn is another's.
async fn run(member: &mut Member, action: Action, pace: &mut Pace) -> Answer {
    // Boxed: it is large, and an idle connection has no room for it in its own future.
    let mut running = Box::pin(member.run(action));
    match running.as_mut().now_or_never() {
        Some(answer) => answer,
        None => {
            pace.pause();
            running.await
        }
    }
}

/// Says that nothing more comes, and waits until the client has closed too, or for [`LINGER`].
async fn close(mut stream: TcpStream) {
    let goodbye = async {
        stream.shutdown().await?;
        // Not in the future, of which every connection keeps one.
        let mut dropped = vec![0; 4 << 10];
        while stream.read(&mut dropped).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it was heard is the client's affair.
    let _ = timeout(LINGER, goodbye).await;
}
