//! The integration tests: one binary, a module a subject, and the harness that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

mod harness;

mod admin;
mod cli;
mod config;
mod dialect;
mod doors;
mod grpc;
mod limits;
mod shutdown;
mod store;
mod tls;
