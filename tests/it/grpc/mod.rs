//! The gRPC door.

mod calls;
mod contract;
pub(crate) mod people;
mod pieces;
mod pipeline;
pub(crate) mod raw;
mod roles;
mod sessions;
mod table;
mod web;
