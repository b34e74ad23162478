//! The command grammar, and the older socket protocols: codecs from bytes to the actions of a
//! connection and back. No sockets, no async, no clock.
//!
//! A dialect is one file with a codec, and one row of [`ALL`]. What its clients send and get is the
//! contract of `dialects.md`; the traits that a door drives are in [`codec`], the framing of bare
//! text in `line`.

pub mod codec;
pub mod frame;
pub mod grammar;
pub mod line;
pub mod pickle;

mod calc;
mod chat;
mod clock;
mod hello;
mod text;
mod words;
mod ws_pickle;
mod ws_text;

use std::time::Duration;

use codec::{DatagramCodec, MessageCodec, StreamCodec};

/// A dialect: how it is named, carried and spoken.
pub struct Dialect {
    /// Its name in `--compat NAME=ADDR`.
    pub name: &'static str,
    /// The ports where its clients look for it, the one that a server opens by default first; none
    /// if they are told.
    pub usual_ports: &'static [u16],
    /// Who its commands run as.
    pub caller: Caller,
    /// How long a connection may stay without a request, unless the configuration says otherwise;
    /// `None`: for ever.
    pub idle: Option<Duration>,
    /// What carries it, and the codec for a new connection; at a UDP door one codec serves all
    /// datagrams.
    pub transport: Transport,
}

impl std::fmt::Debug for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dialect").field(&self.name).finish()
    }
}

/// Who the commands of a dialect run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A guest named by its TCP port, or by `ip:port` if that name is in use, from the connection's
    /// start.
    Port,
    /// A guest whose name the client sends: [`codec::Action::SignIn`] or [`codec::Action::Join`].
    Named,
    /// Nobody: only commands that need no session.
    Nobody,
}

/// What carries a dialect, with the constructor of its codec.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "each is the transport of its name")]
pub enum Transport {
    Tcp(fn() -> Box<dyn StreamCodec>),
    WebSocket(fn() -> Box<dyn MessageCodec>),
    Udp(fn() -> Box<dyn DatagramCodec>),
}

/// As the original of `text` did.
const TEXT_IDLE: Duration = Duration::from_secs(60);

/// Every dialect.
pub const ALL: &[Dialect] = &[
    Dialect {
        idle: Some(TEXT_IDLE),
        ..tcp("text", &[5555, 5000], Caller::Port, || Box::new(text::Text::default()))
    },
    tcp("pickle", &[12345], Caller::Named, || Box::new(pickle::Pickle::default())),
    ws("ws-pickle", &[8765], || Box::new(ws_pickle::WsPickle::default())),
    ws("ws-text", &[1603], || Box::new(ws_text::WsText::default())),
    tcp("encode", &[3000], Caller::Nobody, || Box::new(frame::Frames::encode())),
    tcp("decode", &[3000], Caller::Nobody, || Box::new(frame::Frames::decode())),
    udp("clock", &[43387], || Box::new(clock::Clock::default())),
    tcp("hello", &[], Caller::Nobody, || Box::new(hello::Hello::default())),
    tcp("calc", &[], Caller::Nobody, || Box::new(calc::Calc::default())),
    tcp("chat", &[5000], Caller::Named, || Box::new(chat::Chat::default())),
];

/// The dialect of this name.
pub fn find(name: &str) -> Option<&'static Dialect> {
    ALL.iter().find(|dialect| dialect.name == name)
}

const fn tcp(
    name: &'static str,
    usual_ports: &'static [u16],
    caller: Caller,
    open: fn() -> Box<dyn StreamCodec>,
) -> Dialect {
    Dialect { name, usual_ports, caller, idle: None, transport: Transport::Tcp(open) }
}

const fn ws(
    name: &'static str,
    usual_ports: &'static [u16],
    open: fn() -> Box<dyn MessageCodec>,
) -> Dialect {
    Dialect {
        name,
        usual_ports,
        caller: Caller::Named,
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
        caller: Caller::Nobody,
        idle: None,
        transport: Transport::Udp(open),
    }
}
