//! A role-aware key-value and chat service over gRPC, which also speaks ten legacy socket
//! protocols.
//!
//! Every user has a store of its own. Reading another's is one rule, in one place
//! (`service/authorize.rs`), the same for every protocol, and visible to the owner.
//!
//! Read in this order:
//!
//! - [`model`]: the vocabulary. `request.rs` has each request with the type of its reply,
//!   `method.rs` the table of RPCs that `build.rs` makes from the contract, `limits` the table of
//!   limits; names, keys, values, errors. No I/O, no async, no protobuf.
//! - [`store`]: the users' stores. `trait Store` is one user's store; `memory` is the embedded
//!   engine, `redis` the one that servers share; `feed` carries events to many followers. Only
//!   `store::Clock` reads the time. Depends on `model` alone.
//! - [`service`]: the work of each request: `authorize.rs` has `execute`, which admits a caller by
//!   the table of RPCs, and the trait `Handle`, which has an implementation for each request;
//!   users, sessions, roles, quotas, the access log, rooms. No listener, no socket, no protobuf.
//! - [`pb`]: the generated messages, traits and stubs, the conversions between messages and the
//!   model, and the one map from errors to gRPC codes.
//! - [`dialect`]: the command grammar and the codecs of the legacy protocols: bytes in, commands
//!   out. Depends on `model` alone.
//! - [`grpc`]: the gRPC protocol: calls are admitted, timed and counted here. A unary RPC is one
//!   generated line; streams are in `by_hand`.
//! - `fast_path`: all that exists for speed alone between HTTP and the generated traits.
//! - [`listen`]: listeners, the accept loop, the threads, HTTP and sockets with their deadlines.
//! - [`server`]: configuration, composition, TLS, stopping. The only place where the parts are put
//!   together (`compose.rs`).
//!
//! The command line `kvrpc-cli` is a program of its own (`src/bin/kvrpc-cli`) on this library, and
//! the load generator `kvrpc-bench` a package of its own (`bench`): the server contains neither.
//!
//! One Put over gRPC: HTTP/2 → `grpc::native` → `fast_path::glue` → the method of the generated
//! trait → `request::Put` → [`service::Service::execute`] → `Handle<Put>` → `Store::put` →
//! `Written` → `PutResponse` → HTTP/2. Over a legacy protocol the codec makes the same
//! `request::Put`, and writes the same `Written`. `docs/design/request-path.md` has each hop with
//! its file.
//!
//! Each core has a thread with a runtime of its own; one acceptor deals the connections to them in
//! turn. A call that is answered at its first poll needs no task (`fast_path`).
//!
//! Absent on purpose: `unsafe`; state that all threads share outside the service; a protocol that
//! can do what the service does not know of; a type of the wire behind the protocols. Per thread
//! there are two things, both described where they are: the requests of the connection being
//! polled (`fast_path::executor`) and the wakers of followers (`store::feed`).

// A line to stderr waits for its reader, and panics without one: the server's go by `tracing`.
#![warn(clippy::print_stderr)]

pub mod dialect;
mod fast_path;
pub mod grpc;
pub mod listen;
pub mod model;
pub mod pb;
pub mod server;
pub mod service;
pub mod store;
