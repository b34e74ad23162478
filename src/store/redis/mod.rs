//! The Redis engine: stores that any number of servers share, in a Redis or Valkey of version 7 or
//! later, or a cluster of them.
//!
//! All keys of a user carry its id as their hash tag, so that each operation on one store is one
//! command to one node: a plain `HGET`, or a function (`lua/`) where several keys must change at
//! one instant. So do those of a room, with its name. What expires goes by the engine's clock, not
//! by a server's.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the client's enums may grow: what is not known is what was not expected"
)]

mod check;
mod circuit;
mod commits;
mod engine;
mod failure;
mod foreign;
mod lane;
mod library;
mod link;
mod node;
mod people;
mod refusal;
mod reply;
mod request;
pub mod rooms;
mod settings;
mod store;
mod tail;
mod topology;

pub use engine::{RedisEngine, StartError};
pub use foreign::{Claim, Visit};
pub use people::{AccessRecord, NameRecord, SessionRecord, UserRecord};
pub use settings::{Patience, Promise, RedisOptions, RedisUrl};
pub use store::RedisStore;
