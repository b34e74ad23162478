//! The Redis engine: stores that any number of servers share, in a Redis or Valkey of version 7 or
//! later, or a cluster of them.
//!
//! All keys of a user carry its id as their hash tag, so that each operation on one store is one
//! command to one node: a plain `HGET`, or a function (`lua/`) where several keys must change at
//! one instant. The keys of a room carry its name in the same way. Expiry goes by Redis's clock,
//! not by a server's.
//!
//! # Layers
//!
//! `store` and `users` build commands; `router` sends each to the node of its slot and follows
//! redirections; `topology` knows the slots; `node` is a node with two `connection`s, one for what
//! is answered at once and one for `group_commit`; `circuit` keeps calls away from a node that does
//! not answer. `change_follower` feeds watches.
//!
//! # Why not the client's own cluster support
//!
//! Topology, routing and reconnection are written here and not taken from the `redis` crate
//! (`cluster-async`, `ConnectionManager`), for two reasons:
//!
//! - A failed call must be known to be *not sent* or *lost* (`failure::NodeFailure`). After the
//!   first, nothing was done: the call is sent again, or ends as `STORE_UNAVAILABLE`. After the
//!   second, it may have been done: a write that must not be repeated ends as `OUTCOME_UNKNOWN`.
//!   The crate's cluster client retries by itself and gives the same error for both.
//! - `WAIT` counts the replicas that have the writes of its own connection. It must follow the
//!   write on that connection, which a pool, or a client that reconnects in between, does not
//!   ensure.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the client's enums may grow: an unknown variant is an unexpected answer"
)]

mod change_follower;
mod check;
mod circuit;
mod connection;
mod engine;
mod engine_clock;
mod failure;
mod foreign;
mod group_commit;
mod library;
mod node;
mod refusal;
mod reply;
mod request;
pub mod rooms;
mod router;
mod settings;
mod store;
mod topology;
mod users;

pub use engine::{RedisEngine, RedisStartError};
pub use foreign::{RecordedAccess, RequestIdReservation};
pub use settings::{DurabilityLevel, Patience, RedisOptions, RedisUrl};
pub use store::RedisStore;
pub use users::{AccessRecord, NameRecord, SessionRecord, UserRecord};
