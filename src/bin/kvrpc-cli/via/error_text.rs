//! Exit codes for the sentences of legacy protocols, which carry no reasons.

use crate::failure::Failure;
use kvrpc::model::{DIVISION_BY_ZERO, Reason};

/// A part of a sentence that only errors of this reason have. The first that is found counts.
const PARTS: &[(&str, Reason)] = &[
    ("; try again in ", Reason::RateLimited),
    ("as many as it may", Reason::ServerFull),
    ("all stores together would have", Reason::ServerFull),
    ("the server is shutting down", Reason::Draining),
    ("the request took too long", Reason::Deadline),
    ("the session has ended", Reason::SessionExpired),
    ("wrong user or password", Reason::BadCredentials),
    ("lets only managers promote", Reason::UpgradeNotAllowed),
    ("only a manager may ", Reason::ManagerRequired),
    ("a self-promoted manager may not ", Reason::ManagerRequired),
    ("there is no user ", Reason::UserNotFound),
    ("there is no key ", Reason::KeyNotFound),
    (" is in use; choose another", Reason::NameInUse),
    ("if_revision is ", Reason::RevisionMismatch),
    ("with which the store would have ", Reason::QuotaExceeded),
    ("the store has ", Reason::QuotaExceeded),
    ("request_id was used for another request", Reason::RequestIdReused),
    ("; a group is 1 to 8 of 0 and 1", Reason::InvalidBits),
    ("the message is over 64 KiB", Reason::InvalidMessage),
    ("the message is not UTF-8", Reason::InvalidMessage),
    (DIVISION_BY_ZERO, Reason::InvalidExpression),
    ("Invalid expression", Reason::InvalidExpression),
    ("bits has ", Reason::InvalidBits),
    ("text has ", Reason::InvalidValue),
    ("value has ", Reason::InvalidValue),
];

/// The failure that a sentence tells of.
pub(super) fn failure(sentence: &str) -> Failure {
    match PARTS.iter().find(|(part, _)| sentence.contains(part)) {
        Some((_, reason)) => Failure::of(*reason, sentence),
        None => Failure::failed(sentence),
    }
}

/// The name cannot be had.
pub(super) fn name_taken(name: &str) -> Failure {
    let message = format!("the name `{name}` is in use; take another with --user NAME");
    Failure::of(Reason::NameInUse, message)
}
