//! The generated messages and stubs of `proto/`, and their conversion from and to the model.

mod batch;
mod codec;
mod event;
mod limits;
mod reply;
mod request;
mod status;
mod time;

pub(crate) use batch::pipeline_answer;
pub use batch::{BatchAnswer, BatchCall, PipelineCall};
#[cfg(not(feature = "generated-glue"))]
pub(crate) use codec::PREFIX;
pub use codec::{Codec, Framed, Incoming, Malformed, Outgoing};
pub use event::{change, room_event, welcome};
pub use limits::reported_limits;
pub use status::{DOMAIN, code, status};
pub(crate) use time::duration;

/// Package `kvrpc.v1`, as generated; the comments are those of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("kvrpc.v1");
}

/// The traits of the contract's services, as generated, and tonic's servers for them.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod servers {
    include!(concat!(env!("OUT_DIR"), "/server_traits.rs"));
}

/// The contract's descriptors with imports and comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
