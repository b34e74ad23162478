//! The gRPC door.

mod calls;
mod contract;
pub(crate) mod people;
pub(crate) mod raw;
mod roles;
mod sessions;
mod table;
mod web;
