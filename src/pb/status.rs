//! The one map from what went wrong to gRPC codes and details.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::model::{Error, Reason};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "kvrpc";

/// The gRPC code of a reason.
pub const fn code(reason: Reason) -> Code {
    match reason {
        Reason::SessionRequired | Reason::SessionExpired | Reason::BadCredentials => {
            Code::Unauthenticated
        }
        Reason::ManagerRequired | Reason::UpgradeNotAllowed => Code::PermissionDenied,
        Reason::NameInUse => Code::AlreadyExists,
        Reason::KeyNotFound | Reason::UserNotFound | Reason::RoomNotFound => Code::NotFound,
        Reason::RevisionMismatch => Code::Aborted,
        Reason::InvalidKey
        | Reason::InvalidValue
        | Reason::InvalidTtl
        | Reason::InvalidName
        | Reason::InvalidBatch
        | Reason::InvalidPageToken
        | Reason::InvalidMessage
        | Reason::InvalidExpression
        | Reason::InvalidBits
        | Reason::InvalidRequestId
        | Reason::RequestIdReused => Code::InvalidArgument,
        Reason::QuotaExceeded | Reason::RateLimited | Reason::ServerFull => Code::ResourceExhausted,
        Reason::Draining | Reason::StoreUnavailable => Code::Unavailable,
        Reason::OutcomeUnknown => Code::Unknown,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::Internal => Code::Internal,
    }
}

/// The status that a client gets: code, sentence, and the details of google.rpc (AIP-193).
pub fn status(error: &Error) -> Status {
    let reason = error.reason();
    let mut details =
        ErrorDetails::with_error_info(reason.as_str(), DOMAIN, HashMap::<String, String>::new());
    if let Some(wait) = error.retry_wait() {
        details.set_retry_info(Some(wait));
    }
    if reason == Reason::QuotaExceeded {
        details.add_quota_failure_violation("user", error.message());
    }
    if code(reason) == Code::InvalidArgument
        && let Some(field) = error.field()
    {
        details.add_bad_request_violation(field, error.message());
    }
    Status::with_error_details(code(reason), error.message(), details)
}
