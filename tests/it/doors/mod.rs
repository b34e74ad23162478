//! The doors of the older protocols, over real sockets, as their clients use them.

mod chat;
mod client;
mod closing;
mod people;
mod sessions;
mod settings;
mod websocket;
