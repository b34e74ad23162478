//! Errors: a reason of the contract, one public sentence, and a source for the log.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The result of anything that can fail with a reason of the contract.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed: the `reason` of `google.rpc.ErrorInfo`, and what every outward code is
/// derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the reason of its name in the contract's table of errors")]
pub enum Reason {
    SessionRequired,
    SessionExpired,
    BadCredentials,
    ManagerRequired,
    UpgradeNotAllowed,
    NameInUse,
    KeyNotFound,
    UserNotFound,
    RoomNotFound,
    RevisionMismatch,
    InvalidKey,
    InvalidValue,
    InvalidTtl,
    InvalidName,
    InvalidBatch,
    InvalidPageToken,
    InvalidMessage,
    InvalidExpression,
    InvalidBits,
    InvalidRequestId,
    RequestIdReused,
    QuotaExceeded,
    RateLimited,
    ServerFull,
    Draining,
    StoreUnavailable,
    OutcomeUnknown,
    Deadline,
    Internal,
}

impl Reason {
    /// Every reason, in the order of the contract's table.
    pub const ALL: [Self; 29] = [
        Self::SessionRequired,
        Self::SessionExpired,
        Self::BadCredentials,
        Self::ManagerRequired,
        Self::UpgradeNotAllowed,
        Self::NameInUse,
        Self::KeyNotFound,
        Self::UserNotFound,
        Self::RoomNotFound,
        Self::RevisionMismatch,
        Self::InvalidKey,
        Self::InvalidValue,
        Self::InvalidTtl,
        Self::InvalidName,
        Self::InvalidBatch,
        Self::InvalidPageToken,
        Self::InvalidMessage,
        Self::InvalidExpression,
        Self::InvalidBits,
        Self::InvalidRequestId,
        Self::RequestIdReused,
        Self::QuotaExceeded,
        Self::RateLimited,
        Self::ServerFull,
        Self::Draining,
        Self::StoreUnavailable,
        Self::OutcomeUnknown,
        Self::Deadline,
        Self::Internal,
    ];

    /// The reason as the contract spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionRequired => "SESSION_REQUIRED",
            Self::SessionExpired => "SESSION_EXPIRED",
            Self::BadCredentials => "BAD_CREDENTIALS",
            Self::ManagerRequired => "MANAGER_REQUIRED",
            Self::UpgradeNotAllowed => "UPGRADE_NOT_ALLOWED",
            Self::NameInUse => "NAME_IN_USE",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::UserNotFound => "USER_NOT_FOUND",
            Self::RoomNotFound => "ROOM_NOT_FOUND",
            Self::RevisionMismatch => "REVISION_MISMATCH",
            Self::InvalidKey => "INVALID_KEY",
            Self::InvalidValue => "INVALID_VALUE",
            Self::InvalidTtl => "INVALID_TTL",
            Self::InvalidName => "INVALID_NAME",
            Self::InvalidBatch => "INVALID_BATCH",
            Self::InvalidPageToken => "INVALID_PAGE_TOKEN",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::InvalidExpression => "INVALID_EXPRESSION",
            Self::InvalidBits => "INVALID_BITS",
            Self::InvalidRequestId => "INVALID_REQUEST_ID",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::RateLimited => "RATE_LIMITED",
            Self::ServerFull => "SERVER_FULL",
            Self::Draining => "DRAINING",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::Deadline => "DEADLINE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The reason of this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A failure: its reason, one English sentence for the caller, and what the caller can do about it.
///
/// The sentence never tells the server's insides; what does is the source, which only the log sees.
pub struct Error(Box<Inner>);

struct Inner {
    reason: Reason,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure with the sentence that the caller sees.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            field: None,
            retry_after: None,
            source: None,
        }))
    }

    /// A fault of ours; the caller learns only that it happened.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Reason::Internal, "internal error; the server's log has the cause")
            .with_source(source)
    }

    /// Names the request's field that was at fault, as `operations[3].put.key`.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Puts the batch's operation before the field: `key` becomes `operations[3].key`, and the
    /// sentence says so.
    #[must_use]
    pub fn in_operation(mut self, index: usize) -> Self {
        let field = match &self.0.field {
            Some(field) => format!("operations[{index}].{field}"),
            None => format!("operations[{index}]"),
        };
        self.0.message = format!("operation {index}: {}", self.0.message).into();
        self.0.field = Some(field.into());
        self
    }

    /// Says after how long the same call may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Why the call failed.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The request's field that was at fault, if one was.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// After how long the same call may succeed, if waiting helps.
    pub fn retry_wait(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason.as_str(), self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, " (source: {source})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
