//! Failures on the way to Redis, and the errors that callers get for them.

use std::time::Duration;

use redis::{RedisError, ServerError};

use crate::model::{Error, Reason};

/// Time after which a caller may try again when Redis does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Reason why a node gave no answer.
#[derive(Clone, Debug)]
pub(super) enum NodeFailure {
    /// The command was not sent: nothing was done.
    NotSent(String),
    /// The node counts as dead, so the command was not sent.
    Dead,
    /// The command was sent, or may have been: it may have been done.
    Lost(String),
}

impl NodeFailure {
    pub(super) fn lost(error: &RedisError) -> Self {
        Self::Lost(error.to_string())
    }

    pub(super) fn not_sent(error: &RedisError) -> Self {
        Self::NotSent(error.to_string())
    }

    /// Returns the failure as text, for the log.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::NotSent(text) | Self::Lost(text) => text,
            Self::Dead => "the node does not answer".to_owned(),
        }
    }
}

/// `STORE_UNAVAILABLE`: Redis cannot be reached; nothing was done.
pub(super) fn unavailable(why: String) -> Error {
    Error::new(
        Reason::StoreUnavailable,
        "the store does not answer; nothing was done, try again later",
    )
    .retry_after(TRY_AGAIN)
    .with_source(why)
}

/// `OUTCOME_UNKNOWN`: the command may have been done.
pub(super) fn unknown(why: String) -> Error {
    Error::new(
        Reason::OutcomeUnknown,
        "the store did not say whether this was done; the same call with the same request_id finds \
         out",
    )
    .with_source(why)
}

/// `OUTCOME_UNKNOWN`: the write was done, but fewer replicas have it than the durability level asks
/// for.
pub(super) fn not_replicated(acknowledged: i64, wanted: u32) -> Error {
    Error::new(
        Reason::OutcomeUnknown,
        "this was done, but too few replicas have it so far: it may be lost with its node; the \
         same call with the same request_id finds out",
    )
    .with_source(format!("{acknowledged} of {wanted} replicas acknowledged"))
}

/// Error for one that Redis answered: nothing was done. `SERVER_FULL`, `STORE_UNAVAILABLE`, or
/// `INTERNAL` for an unexpected one.
pub(super) fn answered(error: &ServerError) -> Error {
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    match error.code() {
        "OOM" => Error::new(
            Reason::ServerFull,
            "the store's memory is full; delete something, or try again later",
        )
        .retry_after(Duration::from_secs(60))
        .with_source(text),
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "READONLY" | "MISCONF"
        | "NOREPLICAS" | "BUSY" | "MOVED" | "ASK" | "NOAUTH" | "WRONGPASS" | "NOPERM" => {
            unavailable(text)
        }
        _ => Error::internal(text),
    }
}
