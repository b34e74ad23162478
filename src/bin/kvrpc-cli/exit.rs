//! The exit codes.

use std::process::{ExitCode, Termination};

use tonic::Code;

use kvrpc::model::Reason;

/// Exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    NotSignedIn = 4,
    Denied = 5,
    Conflict = 6,
    Limited = 7,
    Unavailable = 8,
    Interrupted = 130,
}

impl Exit {
    /// Every code.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::NotSignedIn,
        Self::Denied,
        Self::Conflict,
        Self::Limited,
        Self::Unavailable,
        Self::Interrupted,
    ];

    /// Returns the meaning of the code.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => "failed for another reason",
            Self::Usage => "the command line, or an argument, is wrong",
            Self::NotFound => {
                "the last get (with --strict: any) found no such key; or no such user"
            }
            Self::NotSignedIn => "no session, or a wrong user or password",
            Self::Denied => "the role does not allow it",
            Self::Conflict => "the name is in use, or the revision is another",
            Self::Limited => "over a quota or a rate",
            Self::Unavailable => "the server is not there, stops, or did not answer in time",
            Self::Interrupted => "interrupted",
        }
    }

    /// The code as a number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// For a status that no kvrpc server gave a reason to.
    pub(super) fn of_code(code: Code) -> Self {
        match code {
            Code::Ok => Self::Ok,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated => Self::NotSignedIn,
            Code::PermissionDenied => Self::Denied,
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Self::Conflict,
            Code::ResourceExhausted => Self::Limited,
            // A client's own deadline comes as CANCELLED.
            Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable => Self::Unavailable,
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::Failed,
        }
    }
}

impl From<Reason> for Exit {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::SessionRequired | Reason::SessionExpired | Reason::BadCredentials => {
                Self::NotSignedIn
            }
            Reason::ManagerRequired | Reason::UpgradeNotAllowed => Self::Denied,
            Reason::KeyNotFound | Reason::UserNotFound | Reason::RoomNotFound => Self::NotFound,
            Reason::NameInUse | Reason::RevisionMismatch => Self::Conflict,
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
            | Reason::RequestIdReused => Self::Usage,
            Reason::QuotaExceeded | Reason::RateLimited | Reason::ServerFull => Self::Limited,
            Reason::Draining
            | Reason::StoreUnavailable
            | Reason::OutcomeUnknown
            | Reason::Deadline => Self::Unavailable,
            Reason::Internal => Self::Failed,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_code() {
        let mut codes: Vec<(u8, usize)> = Vec::new();
        for exit in Exit::ALL {
            let count =
                Reason::ALL.into_iter().filter(|reason| Exit::from(*reason) == exit).count();
            codes.push((exit.code(), count));
        }
        // 29 reasons in all; none is a success, and none is told apart by the interrupt.
        let want =
            [(0, 0), (1, 1), (2, 11), (3, 3), (4, 3), (5, 2), (6, 2), (7, 3), (8, 4), (130, 0)];
        assert_eq!(codes, want);
    }

    #[test]
    fn the_reasons_that_scripts_ask_for() {
        for (reason, code) in [
            (Reason::KeyNotFound, 3),
            (Reason::SessionExpired, 4),
            (Reason::BadCredentials, 4),
            (Reason::ManagerRequired, 5),
            (Reason::NameInUse, 6),
            (Reason::RevisionMismatch, 6),
            (Reason::RateLimited, 7),
            (Reason::Draining, 8),
            (Reason::Deadline, 8),
            (Reason::OutcomeUnknown, 8),
            (Reason::RequestIdReused, 2),
            (Reason::Internal, 1),
        ] {
            assert_eq!(Exit::from(reason).code(), code, "{}", reason.as_str());
        }
    }
}
