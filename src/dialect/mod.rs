//! The command grammar, and the codecs of the legacy socket protocols: bytes in, actions of a
//! connection out, replies back to bytes. No sockets, no async, no clock.
//!
//! A protocol is one file with a codec and one row of [`ALL`]. The bytes that its clients send and
//! receive are specified in `docs/dialects.md`; [`codec`] has the traits that the socket layer
//! drives, `line` the framing of bare text.

pub mod codec;
pub mod frame;
pub mod grammar;
pub mod line;
pub mod pickle;
pub mod render;
pub mod sanitize;

mod calc;
mod chat;
mod clock;
mod commands;
mod error_text;
mod hello;
mod text;
mod ws_pickle;
mod ws_text;

use std::time::Duration;

use codec::{DatagramCodec, MessageCodec, StreamCodec};

/// A legacy protocol: its name, ports, identity rule, idle timeout and transport.
pub struct Dialect {
    /// Name in `--compat NAME=ADDR`, log lines and metrics.
    pub name: &'static str,
    /// Ports where the protocol's clients expect a server, the preferred one first. Empty if
    /// clients are always told the port.
    pub usual_ports: &'static [u16],
    /// Identity that commands run as.
    pub identity: ClientIdentity,
    /// Longest time that a connection may stay open without a request, unless the configuration
    /// overrides it; `None` is no limit.
    pub idle: Option<Duration>,
    /// Transport, with the constructor of the codec for a new connection; a UDP socket has one
    /// codec for all datagrams.
    pub transport: Transport,
}

impl std::fmt::Debug for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dialect").field(&self.name).finish()
    }
}

/// Identity that the commands of a protocol's clients run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIdentity {
    /// A guest named after the client's TCP port, or `ip:port` if that name is in use, from the
    /// start of the connection.
    Port,
    /// A guest whose name the client sends: [`codec::Action::SignIn`] or [`codec::Action::Join`].
    Named,
    /// No user: only commands that need no session.
    Anonymous,
}

/// Transport of a protocol, with the constructor of its codec.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "each is the transport of its name")]
pub enum Transport {
    Tcp(fn() -> Box<dyn StreamCodec>),
    WebSocket(fn() -> Box<dyn MessageCodec>),
    Udp(fn() -> Box<dyn DatagramCodec>),
}

/// Idle timeout of the original `text` server.
const TEXT_IDLE: Duration = Duration::from_secs(60);

/// All legacy protocols.
pub const ALL: &[Dialect] = &[
    Dialect {
        idle: Some(TEXT_IDLE),
        ..tcp("text", &[5555, 5000], ClientIdentity::Port, || Box::new(text::TextCodec::default()))
    },
    tcp("pickle", &[12345], ClientIdentity::Named, || Box::new(pickle::PickleCodec::default())),
    ws("ws-pickle", &[8765], || Box::new(ws_pickle::WsPickleCodec::default())),
    ws("ws-text", &[1603], || Box::new(ws_text::WsTextCodec::default())),
    tcp("encode", &[3000], ClientIdentity::Anonymous, || Box::new(frame::FrameCodec::encode())),
    tcp("decode", &[3000], ClientIdentity::Anonymous, || Box::new(frame::FrameCodec::decode())),
    udp("clock", &[43387], || Box::new(clock::ClockCodec::default())),
    tcp("hello", &[], ClientIdentity::Anonymous, || Box::new(hello::HelloCodec::default())),
    tcp("calc", &[], ClientIdentity::Anonymous, || Box::new(calc::CalcCodec::default())),
    tcp("chat", &[5000], ClientIdentity::Named, || Box::new(chat::ChatCodec::default())),
];

/// Returns the protocol of this name.
pub fn find(name: &str) -> Option<&'static Dialect> {
    ALL.iter().find(|dialect| dialect.name == name)
}

const fn tcp(
    name: &'static str,
    usual_ports: &'static [u16],
    identity: ClientIdentity,
    open: fn() -> Box<dyn StreamCodec>,
) -> Dialect {
    Dialect { name, usual_ports, identity, idle: None, transport: Transport::Tcp(open) }
}

const fn ws(
    name: &'static str,
    usual_ports: &'static [u16],
    open: fn() -> Box<dyn MessageCodec>,
) -> Dialect {
    Dialect {
        name,
        usual_ports,
        identity: ClientIdentity::Named,
        idle: None,
        transport: Transport::WebSocket(open),
    }
}

const fn udp(
    name: &'static str,
    usual_ports: &'static [u16],
    open: fn() -> Box<dyn DatagramCodec>,
) -> Dialect {
    Dialect {
        name,
        usual_ports,
        identity: ClientIdentity::Anonymous,
        idle: None,
        transport: Transport::Udp(open),
    }
}
