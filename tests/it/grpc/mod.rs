//! The gRPC protocol.

mod access;
mod calls;
mod contract;
mod errors;
mod finishing;
mod names;
pub(crate) mod people;
mod pieces;
mod pipeline;
pub(crate) mod raw;
mod roles;
mod sessions;
mod web;
