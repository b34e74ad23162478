//! Protocols on WebSocket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::fair::WorkBudget;
use super::handshake::{Handshake, accept};
use super::{LINGER, SocketLimits, SocketSession, close, run};
use crate::dialect::codec::{
    self, AfterReply, Decoded, MAX_MESSAGE_BYTES, MAX_REPLY_BYTES, MessageCodec, Payload,
};
use crate::listen::AcceptedConnection;
use crate::listen::http::RequestRule;
use crate::model::Reply;

/// Maximum size of a received message in bytes. Larger than the codecs' limit, so that the codec
/// can answer a message over it; beyond this the connection is closed.
const MAX_RECEIVED_BYTES: usize = 4 * MAX_MESSAGE_BYTES;
/// Size of the write buffer in bytes: one reply, which may be slightly over its limit, and control
/// messages.
const MAX_WRITE_BUFFER: usize = 2 * MAX_REPLY_BYTES;
/// Reason sent with the close code for messages over the limit.
const TOO_LONG: &str = "the message is too long";
/// Read buffer of an idle connection, in bytes.
const READ_BUFFER: usize = 4 << 10;

/// Serves one connection to its end.
pub(super) async fn serve(
    connection: AcceptedConnection,
    codec: Box<dyn MessageCodec>,
    session: SocketSession,
    limits: Arc<SocketLimits>,
    budget: WorkBudget,
) {
    let AcceptedConnection { stream, peer, local, permit, draining } = connection;
    let rule = RequestRule::new(Arc::clone(&limits.browsers), local, false);
    let protocol = session.protocol();
    let handshake = timeout(limits.handshake, accept(stream, &rule, config()));
    let socket = tokio::select! {
        outcome = handshake => match outcome {
            Ok(Handshake::Accepted(socket)) => *socket,
            Ok(Handshake::Refused(stream)) => {
                tracing::debug!(protocol, %peer, "the WebSocket handshake failed");
                return close(stream).await;
            }
            Err(_) => {
                let within = limits.handshake;
                return tracing::debug!(protocol, %peer, "closed: no handshake within {within:?}");
            }
        },
        () = draining.cancelled() => return,
    };
    permit.mark_active();
    let mut client = WebSocketConnection { socket, codec, session, budget };
    let close_with = match client.run(&limits, &draining).await {
        Ok(close_with) => Some(close_with),
        Err(error) => {
            tracing::debug!(protocol, %peer, %error, "the connection ended");
            #[allow(clippy::wildcard_enum_match_arm, reason = "all others leave nobody to tell")]
            match error {
                // The client closed first, and was answered.
                Error::ConnectionClosed => None,
                Error::Capacity(_) => Some((CloseCode::Size, TOO_LONG)),
                Error::Utf8(_) => Some((CloseCode::Invalid, "a text message must be UTF-8")),
                Error::Protocol(_) => Some((CloseCode::Protocol, "no WebSocket frame")),
                _ => return,
            }
        }
    };
    let WebSocketConnection { mut socket, session, .. } = client;
    drop(session);
    if let Some((code, reason)) = close_with {
        let goodbye = async {
            socket.close(Some(CloseFrame { code, reason: reason.into() })).await?;
            // Until the client has sent its close frame and closed.
            while let Some(message) = socket.next().await {
                message?;
            }
            Ok::<_, Error>(())
        };
        // Errors are ignored: the connection ends anyway.
        let _ = timeout(LINGER, goodbye).await;
    }
    close(socket.into_inner()).await;
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_RECEIVED_BYTES))
        .max_frame_size(Some(MAX_RECEIVED_BYTES))
}

struct WebSocketConnection {
    socket: WebSocketStream<TcpStream>,
    codec: Box<dyn MessageCodec>,
    session: SocketSession,
    budget: WorkBudget,
}

impl WebSocketConnection {
    /// Runs the connection until one side ends it, and returns the close code and reason to send.
    async fn run(
        &mut self,
        limits: &SocketLimits,
        draining: &CancellationToken,
    ) -> Result<(CloseCode, &'static str), Error> {
        let mut last_request = Instant::now();
        let mut ping_timer = PingTimer::new(limits);
        loop {
            let idle = limits.idle.map_or_else(far_future, |idle| last_request + idle);
            let message = tokio::select! {
                biased;
                () = draining.cancelled() => {
                    return Ok((CloseCode::Away, "the server is shutting down"));
                }
                message = next_message(&mut self.socket, &mut self.budget) => {
                    message.ok_or(Error::ConnectionClosed)??
                }
                () = sleep_until(ping_timer.end) => {
                    if ping_timer.pinged {
                        return Ok((CloseCode::Away, "no answer to a ping"));
                    }
                    ping_timer.ping();
                    self.send(Message::Ping(Bytes::new())).await?;
                    continue;
                }
                () = sleep_until(idle) => return Ok((CloseCode::Normal, "no request for too long")),
            };
            ping_timer = PingTimer::new(limits);
            let next = match &message {
                Message::Text(text) => self.answer(Payload::Text(text.as_str())).await?,
                Message::Binary(bytes) => self.answer(Payload::Binary(bytes)).await?,
                // The library answers pings and close frames; the end of the stream follows a close
                // frame.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                    continue;
                }
            };
            last_request = Instant::now();
            if message.len() > MAX_MESSAGE_BYTES {
                return Ok((CloseCode::Size, TOO_LONG));
            }
            if next == AfterReply::Close || self.session.is_over() {
                return Ok((CloseCode::Normal, ""));
            }
            self.budget.end_request().await?;
        }
    }

    async fn answer(&mut self, message: Payload<'_>) -> Result<AfterReply, Error> {
        self.budget.before_decode(message.as_bytes().len()).await?;
        if self.codec.decode(message) == Decoded::Close {
            return Ok(AfterReply::Close);
        }
        while let Some(action) = self.codec.next() {
            let answer = run(&mut self.session, action, &mut self.budget).await;
            let grown = match &answer {
                Ok(Some(Reply::Get(entry) | Reply::GetOther(entry))) => {
                    entry.value.as_bytes().len()
                }
                Ok(_) | Err(_) => 0,
            };
            self.codec.answer(answer);
            self.budget.step(grown).await?;
        }
        let (reply, next) = self.codec.finish();
        match reply {
            Some(codec::Message::Text(text)) => self.send(Message::text(text)).await?,
            Some(codec::Message::Binary(bytes)) => {
                self.send(Message::Binary(bytes.freeze())).await?
            }
            None => {}
        }
        Ok(next)
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        let scheduler = self.budget.scheduler();
        scheduler.send(message.len(), &mut self.budget, self.socket.send(message)).await
    }
}

/// Returns the next message; the budget is reset if the client has sent none yet.
async fn next_message(
    socket: &mut WebSocketStream<TcpStream>,
    budget: &mut WorkBudget,
) -> Option<Result<Message, Error>> {
    let mut next = socket.next();
    if let Some(message) = (&mut next).now_or_never() {
        return message;
    }
    budget.reset();
    next.await
}

/// Deadline for the client's next message.
struct PingTimer {
    end: Instant,
    pinged: bool,
    pong_within: Duration,
}

impl PingTimer {
    fn new(limits: &SocketLimits) -> Self {
        Self {
            end: Instant::now() + limits.ping_after,
            pinged: false,
            pong_within: limits.pong_within,
        }
    }

    fn ping(&mut self) {
        (self.end, self.pinged) = (Instant::now() + self.pong_within, true);
    }
}

/// Returns an instant beyond the life of any connection.
fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(365 * 86_400)
}
