//! A caller: it makes one request, waits for the answer, and checks it.

use tokio::time::Instant;

use crate::chat::ChatCaller;
use crate::failure::{Failure, Result};
use crate::grpc::GrpcCaller;
use crate::legacy::LegacyCaller;

/// A caller of any mode.
pub(crate) enum Caller {
    Grpc(Box<GrpcCaller>),
    Legacy(LegacyCaller),
    Chat(Box<ChatCaller>),
}

impl Caller {
    /// Makes the request with this number. A chat message carries the time at which it was due to
    /// its readers.
    pub(crate) async fn request(&mut self, number: u64, due: Instant) -> Result<()> {
        match self {
            Self::Grpc(caller) => caller.request(number).await,
            Self::Legacy(caller) => caller.request(number).await,
            Self::Chat(caller) => caller.request(due).await,
        }
    }

    /// Waits for what is still on its way after the last answer.
    pub(crate) async fn finish(self, requests: u64) -> Result<()> {
        match self {
            Self::Grpc(_) | Self::Legacy(_) => Ok(()),
            Self::Chat(caller) => caller.finish(requests).await,
        }
    }
}

/// A wrong answer, which ends the run.
pub(crate) fn wrong(what: &str, got: &[u8], want: &[u8]) -> Failure {
    let shown = |bytes: &[u8]| {
        let start = bytes.get(..bytes.len().min(60)).unwrap_or_default();
        let more = if start.len() < bytes.len() { "..." } else { "" };
        format!("`{}`{more}", start.escape_ascii())
    };
    Failure::failed(format!("a wrong answer to {what}: {}, and not {}", shown(got), shown(want)))
}
