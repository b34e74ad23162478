//! A caller: it makes one request, waits for the answer, and checks it.

use tokio::time::Instant;

use super::chat::ChatLane;
use super::door::DoorLane;
use super::grpc::GrpcLane;
use crate::client::failure::{Failure, Result};

/// A caller of any mode.
pub(super) enum Lane {
    Grpc(Box<GrpcLane>),
    Door(DoorLane),
    Chat(Box<ChatLane>),
}

impl Lane {
    /// One request of this number. The time is when it was due, which a chat message carries to its
    /// readers.
    pub(super) async fn request(&mut self, number: u64, due: Instant) -> Result<()> {
        match self {
            Self::Grpc(lane) => lane.request(number).await,
            Self::Door(lane) => lane.request(number).await,
            Self::Chat(lane) => lane.request(due).await,
        }
    }

    /// What is still on its way when the last request is answered.
    pub(super) async fn finish(self, requests: u64) -> Result<()> {
        match self {
            Self::Grpc(_) | Self::Door(_) => Ok(()),
            Self::Chat(lane) => lane.finish(requests).await,
        }
    }
}

/// A wrong answer, which ends the run.
pub(super) fn wrong(what: &str, got: &[u8], want: &[u8]) -> Failure {
    let shown = |bytes: &[u8]| {
        let start = bytes.get(..bytes.len().min(60)).unwrap_or_default();
        let more = if start.len() < bytes.len() { "..." } else { "" };
        format!("`{}`{more}", start.escape_ascii())
    };
    Failure::failed(format!("a wrong answer to {what}: {}, and not {}", shown(got), shown(want)))
}
