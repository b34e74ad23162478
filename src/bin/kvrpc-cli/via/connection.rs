//! The connection to a listener: TCP, a WebSocket or datagrams, with a deadline for every wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{self, Error as WsError, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Via;
use super::protocol_client::{
    DecodedReply, MAX_UNREAD_BYTES, OutgoingMessage, ProtocolClient, bytes,
};
use super::trace::{Side, Trace};
use crate::Exit;
use crate::args::Settings;
use crate::explain::timed_out;
use crate::failure::{Failure, Result};
use kvrpc::dialect::Transport;
use kvrpc::dialect::codec::{Input, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, Message};
use kvrpc::dialect::grammar::Call;

/// Bytes that a frame's length and a line's end add to the longest message.
const FRAMING_BYTES: usize = 4;
/// Number of times that a datagram without an answer is sent.
const SENDS: u32 = 3;
/// Time that the server has for its farewell.
const GOODBYE: Duration = Duration::from_millis(500);

/// An open connection.
pub(super) struct ProtocolConnection {
    carrier: Carrier,
    trace: Trace,
    settings: Arc<Settings>,
}

enum Carrier {
    Tcp { stream: TcpStream, input: BytesMut },
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Udp(UdpSocket),
}

impl ProtocolConnection {
    /// Connects.
    pub(super) async fn open(via: &Via, settings: Arc<Settings>) -> Result<Self> {
        let trace = Trace { on: settings.verbose, binary: via.binary };
        let dialect = via.dialect()?;
        let opening = async {
            Ok::<_, Failure>(match dialect.transport {
                Transport::Tcp(_) => {
                    Carrier::Tcp { stream: connect(via, &settings).await?, input: BytesMut::new() }
                }
                Transport::WebSocket(_) => Carrier::WebSocket(Box::new(
                    shake(connect(via, &settings).await?, &settings).await?,
                )),
                Transport::Udp(_) => Carrier::Udp(bind(&settings).await?),
            })
        };
        let carrier =
            timeout(settings.timeout, opening).await.map_err(|_| timed_out(&settings))??;
        trace.note(&format!("{} at {}", via.name, settings.server.address()));
        Ok(Self { carrier, trace, settings })
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, request: &OutgoingMessage) -> Result<()> {
        let message = &request.message;
        let length = bytes(message).len();
        let most = match self.carrier {
            Carrier::Udp(_) => MAX_DATAGRAM_BYTES,
            Carrier::Tcp { .. } | Carrier::WebSocket(_) => MAX_MESSAGE_BYTES + FRAMING_BYTES,
        };
        if length > most {
            return Err(Failure::usage(format!(
                "this comes to {length} bytes, and the dialect takes at most {most}"
            )));
        }
        if let Carrier::Tcp { input, .. } = &self.carrier
            && !input.is_empty()
        {
            return Err(Failure::failed(
                "the server said more than was asked for, so its next words may be no answer",
            ));
        }
        self.trace.bytes(Side::Client, request.shown.as_deref().unwrap_or_else(|| bytes(message)));
        let sending = async {
            match &mut self.carrier {
                Carrier::Tcp { stream, .. } => stream.write_all(bytes(message)).await,
                Carrier::WebSocket(socket) => socket.send(framed(message)).await.map_err(io_error),
                Carrier::Udp(socket) => socket.send(bytes(message)).await.map(|_| ()),
            }
        };
        match timeout(self.settings.timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(timed_out(&self.settings)),
        }
    }

    /// Waits for the reply to what was sent.
    pub(super) async fn reply(
        &mut self,
        client: &mut dyn ProtocolClient,
        call: Option<&Call>,
        sent: &OutgoingMessage,
    ) -> Result<Message> {
        let end = Instant::now() + self.settings.timeout;
        match &self.carrier {
            Carrier::Tcp { .. } => self.reply_of_stream(client, call, end).await,
            Carrier::WebSocket(_) => match self.message(end).await? {
                Some(message) => client.message(message),
                None => Err(self.closed()),
            },
            Carrier::Udp(_) => self.datagram(client, sent).await,
        }
    }

    async fn reply_of_stream(
        &mut self,
        client: &mut dyn ProtocolClient,
        call: Option<&Call>,
        end: Instant,
    ) -> Result<Message> {
        let mut event = Input::Bytes;
        loop {
            let Carrier::Tcp { input, .. } = &mut self.carrier else { return Err(self.closed()) };
            let quiet = if input.is_empty() {
                None
            } else {
                match client.decode(call, input, event)? {
                    DecodedReply::Reply(reply) => return Ok(reply),
                    DecodedReply::Incomplete { quiet } => quiet,
                }
            };
            if event == Input::End {
                return Err(self.closed());
            }
            let until = quiet.map_or(end, |quiet| end.min(Instant::now() + quiet));
            event = match timeout_at(until, self.read()).await {
                Ok(read) => {
                    if read? == 0 {
                        Input::End
                    } else {
                        Input::Bytes
                    }
                }
                Err(_) if until < end => Input::Quiet,
                Err(_) => return Err(timed_out(&self.settings)),
            };
        }
    }

    /// Reads what has come on a stream; 0 is the end.
    async fn read(&mut self) -> Result<usize> {
        let Carrier::Tcp { stream, input } = &mut self.carrier else { return Ok(0) };
        let before = input.len();
        if before > MAX_UNREAD_BYTES {
            return Err(Failure::failed("the server's reply does not end"));
        }
        match stream.read_buf(input).await {
            Ok(read) => {
                self.trace.bytes(Side::Server, input.get(before..).unwrap_or_default());
                Ok(read)
            }
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// The next line of a conversation in which both sides speak when they want to; `None`: the
    /// server has closed.
    pub(super) async fn line(&mut self) -> Result<Option<BytesMut>> {
        loop {
            let Carrier::Tcp { input, .. } = &mut self.carrier else { return Ok(None) };
            if let Some(end) = input.iter().position(|byte| *byte == b'\n') {
                let mut line = input.split_to(end + 1);
                line.truncate(end);
                return Ok(Some(line));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message on a WebSocket; `None`: the server has closed.
    async fn message(&mut self, end: Instant) -> Result<Option<Message>> {
        let Carrier::WebSocket(socket) = &mut self.carrier else { return Ok(None) };
        loop {
            let next =
                timeout_at(end, socket.next()).await.map_err(|_| timed_out(&self.settings))?;
            let message = match next {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    Message::Text(text.as_str().to_owned())
                }
                Some(Ok(tungstenite::Message::Binary(bytes))) => {
                    Message::Binary(BytesMut::from(&bytes[..]))
                }
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => continue,
                Some(Ok(tungstenite::Message::Frame(_) | tungstenite::Message::Close(_)))
                | None => return Ok(None),
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => return Ok(None),
                Some(Err(error)) => {
                    let error = io_error(error);
                    return Err(self.lost(&error));
                }
            };
            self.trace.bytes(Side::Server, bytes(&message));
            return Ok(Some(message));
        }
    }

    /// Waits for a datagram that fits, and asks again: either may be lost on the way.
    async fn datagram(
        &mut self,
        client: &mut dyn ProtocolClient,
        sent: &OutgoingMessage,
    ) -> Result<Message> {
        for turn in 1..=SENDS {
            let end = Instant::now() + self.settings.timeout / SENDS;
            let Carrier::Udp(socket) = &self.carrier else { return Err(self.closed()) };
            let mut buffer = [0; MAX_DATAGRAM_BYTES];
            while let Ok(received) = timeout_at(end, socket.recv(&mut buffer)).await {
                let reply = match received {
                    Ok(length) => buffer.get(..length).unwrap_or_default(),
                    Err(error) => return Err(self.lost(&error)),
                };
                self.trace.bytes(Side::Server, reply);
                if client.fits(&sent.message, reply) {
                    return Ok(super::protocol_client::to_message(reply.into()));
                }
            }
            if turn < SENDS {
                self.send(sent).await?;
            }
        }
        Err(timed_out(&self.settings))
    }

    /// Says goodbye, and hears what the server says to that. Nothing depends on it any more.
    pub(super) async fn close(mut self, farewell: Option<Message>) {
        let goodbye = async {
            if let Some(message) = farewell {
                self.send(&OutgoingMessage { message, shown: None }).await?;
            }
            match &mut self.carrier {
                Carrier::Tcp { stream, .. } => {
                    stream.shutdown().await?;
                    while self.read().await? > 0 {
                        if let Carrier::Tcp { input, .. } = &mut self.carrier {
                            input.clear();
                        }
                    }
                }
                Carrier::WebSocket(_) => {
                    let end = Instant::now() + GOODBYE;
                    while self.message(end).await?.is_some() {}
                    if let Carrier::WebSocket(socket) = &mut self.carrier {
                        // A server that has closed already is told nothing.
                        let _ = WebSocketStream::close(socket, None).await;
                    }
                }
                Carrier::Udp(_) => {}
            }
            Ok::<_, Failure>(())
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    fn closed(&self) -> Failure {
        let message =
            format!("{} closed the connection without an answer", self.settings.server.address());
        Failure::new(Exit::Unavailable, message)
    }

    fn lost(&self, error: &io::Error) -> Failure {
        unreachable(error, &self.settings, "")
    }
}

/// Why there is no connection, or none any more.
fn unreachable(error: &io::Error, settings: &Settings, dialect: &str) -> Failure {
    let address = settings.server.address();
    #[allow(clippy::wildcard_enum_match_arm, reason = "the kinds with a next step")]
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused if dialect.is_empty() => {
            format!("nothing listens at {address}; see --server")
        }
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens at {address}; open a listener there with `kvrpc-server --compat \
             {dialect}={address}`, or name another with --server"
        ),
        io::ErrorKind::TimedOut => return timed_out(settings),
        _ => format!("the connection with {address} failed: {error}"),
    };
    Failure::new(Exit::Unavailable, message)
}

async fn connect(via: &Via, settings: &Settings) -> Result<TcpStream> {
    let address = settings.server.address();
    let found: Vec<_> = lookup_host(&address).await.map_err(|_| no_host(&address))?.collect();
    if found.is_empty() {
        return Err(no_host(&address));
    }
    let stream = TcpStream::connect(&found[..])
        .await
        .map_err(|error| unreachable(&error, settings, via.name))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error, settings, via.name))?;
    Ok(stream)
}

fn no_host(address: &str) -> Failure {
    Failure::new(Exit::Unavailable, format!("no host of this name: {address}; see --server"))
}

async fn bind(settings: &Settings) -> Result<UdpSocket> {
    let address = settings.server.address();
    let peer = lookup_host(&address).await.ok().and_then(|mut found| found.next());
    let peer = peer.ok_or_else(|| no_host(&address))?;
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let connected = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(peer).await?;
        Ok(socket)
    };
    connected.await.map_err(|error| unreachable(&error, settings, ""))
}

async fn shake(stream: TcpStream, settings: &Settings) -> Result<WebSocketStream<TcpStream>> {
    let url = format!("ws://{}/", settings.server.address());
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_UNREAD_BYTES))
        .max_frame_size(Some(MAX_UNREAD_BYTES));
    match client_async_with_config(url, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(error) => {
            let message = format!("{} opens no WebSocket: {error}", settings.server.address());
            Err(Failure::new(Exit::Unavailable, message))
        }
    }
}

fn framed(message: &Message) -> tungstenite::Message {
    match message {
        Message::Text(text) => tungstenite::Message::text(text.clone()),
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes.clone().freeze()),
    }
}

fn io_error(error: WsError) -> io::Error {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the one that is an io::Error already")]
    match error {
        WsError::Io(error) => error,
        other => io::Error::other(other),
    }
}
