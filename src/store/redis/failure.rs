//! What can go wrong between here and Redis, and what a caller is told of it.

use std::time::Duration;

use redis::{RedisError, ServerError};

use crate::model::{Error, Reason};

/// After how long a caller may try again when the engine does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why a node gave no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing was sent: nothing was done.
    NotSent(String),
    /// The node counts as dead, so nothing was sent.
    Dead,
    /// It was sent, or may have been; nobody knows whether it was done.
    Lost(String),
}

impl Failure {
    pub(super) fn lost(error: &RedisError) -> Self {
        Self::Lost(error.to_string())
    }

    pub(super) fn not_sent(error: &RedisError) -> Self {
        Self::NotSent(error.to_string())
    }

    /// What happened, for the log.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::NotSent(text) | Self::Lost(text) => text,
            Self::Dead => "the node does not answer".to_owned(),
        }
    }
}

/// Nothing was done, since the engine cannot be reached.
pub(super) fn unavailable(why: String) -> Error {
    Error::new(
        Reason::StoreUnavailable,
        "the store does not answer; nothing was done, try again later",
    )
    .retry_after(TRY_AGAIN)
    .with_source(why)
}

/// Nobody knows whether it was done.
pub(super) fn unknown(why: String) -> Error {
    Error::new(
        Reason::OutcomeUnknown,
        "the store did not say whether this was done; the same call with the same request_id finds out",
    )
    .with_source(why)
}

/// It was done, but fewer replicas have it than were promised.
pub(super) fn not_replicated(acknowledged: i64, wanted: u32) -> Error {
    Error::new(
        Reason::OutcomeUnknown,
        "this was done, but too few replicas have it so far: it may be lost with its node; the same call with the same request_id finds out",
    )
    .with_source(format!("{acknowledged} of {wanted} replicas acknowledged"))
}

/// What a caller is told of an error that Redis answered: nothing was done then.
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
