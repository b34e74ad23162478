//! The generated messages and stubs of `proto/`, and their conversion from and to the model.

mod command;
mod reply;
mod status;
mod time;

pub use status::{DOMAIN, code, status};

/// Package `kvrpc.v1`, as generated; the comments are those of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("kvrpc.v1");
}

/// The contract's descriptors with imports and comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
