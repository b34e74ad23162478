//! A role-aware key-value and chat service over gRPC, with doors for older socket clients.

pub mod dialect;
pub mod model;
pub mod pb;
pub mod store;
