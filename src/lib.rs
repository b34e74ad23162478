//! A role-aware key-value and chat service over gRPC, with listeners for older socket clients.
//!
//! Every user has a store of its own; reading another's is one rule, in one place
//! (`service/authorize.rs`), the same at every listener, and visible to the owner.
//!
//! Read in this order:
//!
//! - [`model`]: what can be asked and answered (`Command`, `Reply`), names, keys, values, errors.
//!   No I/O, no async, no protobuf.
//! - [`store`]: who keeps it. `trait Store` is one user's store, of any engine; `memory` is the
//!   embedded one, `redis` the one that servers share; `feed` carries events to many followers.
//!   Only `store::Clock` reads the time. Knows `model` alone.
//! - [`service`]: what a command does, for whom: users, sessions, roles, quotas, the access log,
//!   the chat's rooms (in memory, or in the engine that servers share), the table of RPCs
//!   (`method.rs`). No listener, no socket, no protobuf.
//! - [`pb`]: the generated messages, their conversion from and to the model, and the one map from
//!   errors to gRPC codes. Gets, puts and batches also have a shorter way between wire and model
//!   (`pb/wire`), which gives the same.
//! - [`dialect`]: the command grammar and the codecs of the older socket protocols: bytes in,
//!   commands out. Knows `model` alone.
//! - [`grpc`]: the gRPC listener. Lets calls in, times them, answers; decides nothing.
//! - [`listen`]: sockets, the accept loop, the threads, HTTP with its deadlines. Knows no protocol
//!   above HTTP.
//! - [`server`]: configuration, composition, TLS, stopping. The only place where the parts are put
//!   together (`compose.rs`).
//!
//! The command line `kvrpc-cli` is a program of its own (`src/bin/kvrpc-cli`) on this library, and
//! the load generator `kvrpc-bench` a package of its own (`bench`): the server contains neither.
//!
//! One Put, at any listener: bytes → codec → `Command::Put` → [`service::Service::execute`] →
//! `authorize` → `Store::put` → `Reply` → the same codec → bytes.
//!
//! Each core has a thread with a runtime of its own; one acceptor deals the connections to them in
//! turn. What reads or writes a key in this process's memory is answered as soon as it is read from
//! the wire (`grpc/at_once.rs`); everything else comes by the generated services.
//!
//! Absent on purpose: `unsafe`, global state, a listener that can do what the service does not know of,
//! a type of the wire behind the listeners.

pub mod dialect;
mod fast_path;
pub mod grpc;
pub mod listen;
pub mod model;
pub mod pb;
pub mod server;
pub mod service;
pub mod store;
