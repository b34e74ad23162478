//! A dialect on a WebSocket.

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

use super::handshake::{Shaken, shake};
use super::share::Pace;
use super::{LINGER, Member, SocketLimits, close, run};
use crate::dialect::codec::{
    self, Decoded, MAX_MESSAGE_BYTES, MAX_REPLY_BYTES, MessageCodec, Next, Payload,
};
use crate::listen::Connection;
use crate::model::Reply;

/// Above what a codec takes, so that the codec answers what is too long; beyond this the connection
/// is closed unread.
const MOST_RECEIVED: usize = 4 * MAX_MESSAGE_BYTES;
/// One reply, which may be a little longer than its limit, and the control messages beside it.
const MOST_UNSENT: usize = 2 * MAX_REPLY_BYTES;
/// Beside the close code for it.
const TOO_LONG: &str = "the message is too long";
/// An idle connection's buffer.
const READ_BUFFER: usize = 4 << 10;

type Socket = WebSocketStream<TcpStream>;

/// Serves one connection to its end.
pub(super) async fn serve(
    connection: Connection,
    codec: Box<dyn MessageCodec>,
    member: Member,
    limits: Arc<SocketLimits>,
    pace: Pace,
) {
    let Connection { stream, peer, permit, draining, .. } = connection;
    let door = member.door();
    let shaking = timeout(limits.handshake, shake(stream, &limits.allow_origins, config()));
    let socket = tokio::select! {
        shaken = shaking => match shaken {
            Ok(Shaken::Open(socket)) => *socket,
            Ok(Shaken::Refused(stream)) => {
                tracing::debug!(door, %peer, "the WebSocket handshake failed");
                return close(stream).await;
            }
            Err(_) => return tracing::debug!(door, %peer, "closed: no handshake within {:?}", limits.handshake),
        },
        () = draining.cancelled() => return,
    };
    permit.spoke();
    let mut talk = Talk { socket, codec, member, pace };
    let close_with = match talk.run(&limits, &draining).await {
        Ok(close_with) => Some(close_with),
        Err(error) => {
            tracing::debug!(door, %peer, %error, "the connection ended");
            #[allow(clippy::wildcard_enum_match_arm, reason = "all others leave nobody to tell")]
            match error {
                // The client said so first, and was answered.
                Error::ConnectionClosed => None,
                Error::Capacity(_) => Some((CloseCode::Size, TOO_LONG)),
                Error::Utf8(_) => Some((CloseCode::Invalid, "a text message must be UTF-8")),
                Error::Protocol(_) => Some((CloseCode::Protocol, "no WebSocket frame")),
                _ => return,
            }
        }
    };
    let Talk { mut socket, member, .. } = talk;
    drop(member);
    if let Some((code, reason)) = close_with {
        let goodbye = async {
            socket.close(Some(CloseFrame { code, reason: reason.into() })).await?;
            // Until the client has said the same, and closed.
            while let Some(message) = socket.next().await {
                message?;
            }
            Ok::<_, Error>(())
        };
        // Whether it was heard is the client's affair.
        let _ = timeout(LINGER, goodbye).await;
    }
    close(socket.into_inner()).await;
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_UNSENT)
        .max_message_size(Some(MOST_RECEIVED))
        .max_frame_size(Some(MOST_RECEIVED))
}

struct Talk {
    socket: Socket,
    codec: Box<dyn MessageCodec>,
    member: Member,
    pace: Pace,
}

impl Talk {
    /// Until one side ends it: what to close it with.
    async fn run(
        &mut self,
        limits: &SocketLimits,
        draining: &CancellationToken,
    ) -> Result<(CloseCode, &'static str), Error> {
        let mut last_request = Instant::now();
        let mut silence = Silence::new(limits);
        loop {
            let idle = limits.idle.map_or_else(far_away, |idle| last_request + idle);
            let message = tokio::select! {
                biased;
                () = draining.cancelled() => return Ok((CloseCode::Away, "the server is shutting down")),
                message = next_message(&mut self.socket, &mut self.pace) => message.ok_or(Error::ConnectionClosed)??,
                () = sleep_until(silence.end) => {
                    if silence.pinged {
                        return Ok((CloseCode::Away, "no answer to a ping"));
                    }
                    silence.ping();
                    self.send(Message::Ping(Bytes::new())).await?;
                    continue;
                }
                () = sleep_until(idle) => return Ok((CloseCode::Normal, "no request for too long")),
            };
            silence = Silence::new(limits);
            let next = match &message {
                Message::Text(text) => self.answer(Payload::Text(text.as_str())).await?,
                Message::Binary(bytes) => self.answer(Payload::Binary(bytes)).await?,
                // The library answers both; the end of the stream comes behind a close.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                    continue;
                }
            };
            last_request = Instant::now();
            if message.len() > MAX_MESSAGE_BYTES {
                return Ok((CloseCode::Size, TOO_LONG));
            }
            if next == Next::Close || self.member.is_over() {
                return Ok((CloseCode::Normal, ""));
            }
            self.pace.end().await?;
        }
    }

    async fn answer(&mut self, message: Payload<'_>) -> Result<Next, Error> {
        self.pace.before(message.as_bytes().len()).await?;
        if self.codec.decode(message) == Decoded::Close {
            return Ok(Next::Close);
        }
        while let Some(action) = self.codec.next() {
            let answer = run(&mut self.member, action, &mut self.pace).await;
            let grown = match &answer {
                Ok(Some(Reply::Get(entry) | Reply::GetOther(entry))) => {
                    entry.value.as_bytes().len()
                }
                Ok(_) | Err(_) => 0,
            };
            self.codec.answer(answer);
            self.pace.step(grown).await?;
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
        let share = self.pace.share();
        share.send(message.len(), &mut self.pace, self.socket.send(message)).await
    }
}

/// The next message; a connection whose client has said nothing yet rests.
async fn next_message(socket: &mut Socket, pace: &mut Pace) -> Option<Result<Message, Error>> {
    let mut next = socket.next();
    if let Some(message) = (&mut next).now_or_never() {
        return message;
    }
    pace.rest();
    next.await
}

/// How long the client may say nothing.
struct Silence {
    end: Instant,
    pinged: bool,
    pong_within: Duration,
}

impl Silence {
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

/// An instant that does not come in a connection's life.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 86_400)
}
