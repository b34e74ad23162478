//! The gRPC door.

mod contract;
pub(crate) mod people;
pub(crate) mod raw;
mod table;
