//! The generated messages and stubs of `proto/`, and their conversion from and to the model.

mod command;
mod event;
mod limits;
mod reply;
mod status;
mod time;
pub(crate) mod wire;

pub(crate) use command::user_or_caller;
pub use event::{change, room_event, welcome};
pub use limits::reported_limits;
pub(crate) use reply::mismatch;
pub use status::{DOMAIN, code, status};
pub(crate) use time::duration;

/// Package `kvrpc.v1`, as generated; the comments are those of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("kvrpc.v1");
}

/// The contract's descriptors with imports and comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
