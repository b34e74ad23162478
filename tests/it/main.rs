//! The integration tests: one binary, a module per subject, and the harness that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants, and fails on the rest"
)]

mod harness;

mod admin;
mod chat;
mod cli;
mod clients;
mod cluster;
mod config;
mod dialect;
mod docs;
mod fronts;
mod greedy;
mod grpc;
mod interop;
mod limit_table;
mod limits;
mod listeners;
mod log;
mod notify;
mod parity;
mod shutdown;
mod store;
mod tidy;
mod tls;
mod watch;
