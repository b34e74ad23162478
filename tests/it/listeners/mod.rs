//! The legacy protocols over real sockets, as their clients use them.

mod chat;
pub(crate) mod client;
mod closing;
mod framing;
mod people;
mod rfc6455;
mod rfc6455_handshake;
mod sessions;
mod settings;
pub(crate) mod websocket;
mod wire;
