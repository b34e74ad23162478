//! The doors of the older protocols, over real sockets, as their clients use them.

mod chat;
pub(crate) mod client;
mod closing;
mod people;
mod sessions;
mod settings;
pub(crate) mod websocket;
