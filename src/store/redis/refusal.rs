//! Refusals of the functions, as errors of the contract.

use redis::Value;

use super::reply::ReplyParts;
use crate::model::{Error, Expiry, MAX_MESSAGE_BYTES, Reason};
use crate::store::StoreLimits;

/// Returns the error for a refusal; with the operation's index if it is of a `batch`.
pub(super) fn read(parts: Vec<Value>, limits: &StoreLimits, batch: bool) -> Error {
    let mut parts = ReplyParts::new(parts);
    let (Ok(code), Ok(first), Ok(second)) =
        (parts.text(), parts.text_or_empty(), parts.text_or_empty())
    else {
        return Error::internal("a function refused without saying why");
    };
    let index = parts.number().ok().and_then(|index| usize::try_from(index).ok());
    let mismatch =
        |message: String| Error::new(Reason::RevisionMismatch, message).in_field("if_revision");
    let quota = |message: String| Error::new(Reason::QuotaExceeded, message);
    let error = match code.as_str() {
        "absent" => mismatch(format!("if_revision is {first}, but there is no such key")),
        "batched" => mismatch(format!(
            "if_revision is {first}, but an earlier operation of the batch wrote the key, which \
             none matches"
        )),
        "revision" if first == "0" => {
            mismatch(format!("if_revision is 0 (no such key), but the key has revision {second}"))
        }
        "revision" => {
            mismatch(format!("if_revision is {first}, but the key has revision {second}"))
        }
        "passed" => Expiry::passed(),
        "keys" => quota(format!(
            "the store has {first} keys, and {} are allowed",
            limits.max_keys_per_user
        )),
        "bytes" => quota(format!(
            "the key needs {first} bytes, with which the store would have {second}; {} are allowed",
            limits.max_bytes_per_user
        )),
        "reply" => Error::new(
            Reason::InvalidBatch,
            format!("the batch's gets come to more than {MAX_MESSAGE_BYTES} bytes with this one"),
        ),
        "reused" => return reused(),
        "gone" => {
            return Error::new(
                Reason::SessionExpired,
                "the session has ended, and its store with it",
            );
        }
        _ => return Error::internal(format!("a function refused with {code}")),
    };
    match index {
        Some(index) if batch => error.in_operation(index),
        Some(_) | None => error,
    }
}

/// `REQUEST_ID_REUSED`.
pub(super) fn reused() -> Error {
    Error::new(
        Reason::RequestIdReused,
        "this request_id was used for another request; a new request needs a new id",
    )
    .in_field("request_id")
}
