//! A role-aware key-value and chat service over gRPC, with doors for older socket clients.

pub mod client;
pub mod dialect;
pub mod grpc;
pub mod listen;
pub mod model;
pub mod pb;
pub mod service;
pub mod store;
