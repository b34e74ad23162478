//! A call's status in the words of the command line.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Exit;
use super::args::Settings;
use super::connect::{Peer, probe};
use super::failure::Failure;
use kvrpc::dialect::grammar::quote;
use kvrpc::model::Reason;

/// The reason that a kvrpc server gave.
pub(super) fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain == "kvrpc" { Reason::parse(&info.reason) } else { None }
}

/// Returns the time that the server asks to wait.
pub(super) fn retry_wait(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Obstacle to a connection, found among a status's causes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Refused,
    NoHost,
    TimedOut,
    NotTls,
    Certificate(String),
    ClientCertificate,
    Other,
}

/// Why there was no connection; `None` when the server answered.
pub(super) fn obstacle(status: &Status) -> Option<Obstacle> {
    let mut cause = status.source()?;
    let mut found = Obstacle::Other;
    loop {
        // An io::Error names as its source that of the error in it, not that error.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner: &(dyn StdError + 'static) = match inner {
            Some(inner) => inner,
            None => cause,
        };
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(of_tls(error));
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            found = of_io(error);
        } else if cause.is::<tokio::time::error::Elapsed>() || cause.is::<tonic::TimeoutExpired>() {
            found = Obstacle::TimedOut;
        } else if cause.to_string() == "dns error" {
            return Some(Obstacle::NoHost);
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return Some(found),
        }
    }
}

fn of_io(error: &io::Error) -> Obstacle {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of io errors, of which these tell something"
    )]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Obstacle::Refused,
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Obstacle::TimedOut,
        _ => Obstacle::Other,
    }
}

fn of_tls(error: &rustls::Error) -> Obstacle {
    use rustls::{AlertDescription, Error};
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the errors of TLS, of which these have a next step"
    )]
    match error {
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        // The answer of a kvrpc port without TLS to a client that greets it with TLS.
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => Obstacle::NotTls,
        Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        ) => Obstacle::ClientCertificate,
        other => Obstacle::Certificate(other.to_string()),
    }
}

/// Returns the command line's sentence for a status.
pub(super) async fn explain(status: &Status, settings: &Settings) -> Failure {
    if let Some(reason) = reason(status) {
        return of_reason(reason, status, settings);
    }
    let server = &settings.server;
    let address = server.address();
    let unavailable = |message: String| Failure::new(Exit::Unavailable, message);
    match obstacle(status) {
        Some(Obstacle::Refused) => {
            return unavailable(format!(
                "no server at {address}; start one with `kvrpc-server`, or name another with \
                 --server"
            ));
        }
        Some(Obstacle::NoHost) => {
            return unavailable(format!("no host of this name: {address}; see --server"));
        }
        Some(Obstacle::TimedOut) => return timed_out(settings),
        Some(Obstacle::NotTls) => {
            return unavailable(format!(
                "the server at {address} does not speak TLS; use {}",
                server.other_scheme()
            ));
        }
        Some(Obstacle::Certificate(why)) => {
            return unavailable(format!(
                "TLS with {address} failed: {why}; --ca-cert names the authority to trust, and \
                 the certificate must name the host"
            ));
        }
        Some(Obstacle::ClientCertificate) => {
            return unavailable(format!(
                "the server at {address} asks for a client's certificate; give --cert and --key"
            ));
        }
        Some(Obstacle::Other) => return lost(settings).await,
        None => {}
    }
    let code = status.code();
    if matches!(code, Code::Cancelled | Code::DeadlineExceeded) {
        timed_out(settings)
    } else if code == Code::Unimplemented {
        Failure::failed(format!("the server at {address} does not know this call; it may be older"))
    } else {
        Failure::new(Exit::of_code(code), status.message())
    }
}

/// A connection that opened, and then gave no answer of gRPC's.
async fn lost(settings: &Settings) -> Failure {
    let server = &settings.server;
    let address = server.address();
    let peer = if server.tls { Some(Peer::Http2) } else { probe(server).await };
    let message = match peer {
        Some(Peer::Tls) => {
            format!("the server at {address} speaks TLS; use {}", server.other_scheme())
        }
        Some(Peer::Http1 | Peer::Other) => {
            format!("what listens at {address} does not speak gRPC; is it the right port?")
        }
        Some(Peer::Silent) => {
            format!("what listens at {address} does not answer; is it the right port?")
        }
        // The alert that would tell arrives behind the handshake, and is lost with the connection.
        Some(Peer::Http2) | None if server.tls && settings.tls.identity.is_none() => format!(
            "the connection to {address} was lost; try again, or give --cert and --key if the \
             server asks for a client's certificate"
        ),
        Some(Peer::Http2) | None => format!("the connection to {address} was lost; try again"),
    };
    Failure::new(Exit::Unavailable, message)
}

pub(super) fn timed_out(settings: &Settings) -> Failure {
    let message = format!(
        "no answer from {} within {}; --timeout gives it longer",
        settings.server.address(),
        for_people(settings.timeout)
    );
    Failure::new(Exit::Unavailable, message)
}

fn of_reason(reason: Reason, status: &Status, settings: &Settings) -> Failure {
    let said = status.message();
    let user = settings.user.as_str();
    let message = match reason {
        Reason::NameInUse => format!(
            "the name `{user}` is in use; take another with --user NAME, or, if it is an \
             account's, sign in with `kvrpc-cli --user {0} auth {0}`",
            quote(user)
        ),
        Reason::SessionRequired | Reason::SessionExpired if settings.token.is_some() => {
            "the token in KVRPC_TOKEN opens no session; unset it, or set a live one".to_owned()
        }
        Reason::SessionRequired | Reason::SessionExpired => {
            format!("{said}; open a session with `kvrpc-cli token`")
        }
        Reason::BadCredentials => "wrong user or password".to_owned(),
        Reason::UpgradeNotAllowed => {
            format!(
                "only a manager may make you one (ask one for `kvrpc-cli upgrade {}`)",
                quote(user)
            )
        }
        Reason::ManagerRequired => {
            format!("{said} (ask one for `kvrpc-cli upgrade {}`)", quote(user))
        }
        Reason::RevisionMismatch => format!("{said}; read the key again and decide anew"),
        Reason::Deadline => return timed_out(settings),
        Reason::OutcomeUnknown => format!("{said}; read the key to see whether it was done"),
        Reason::RateLimited | Reason::ServerFull | Reason::Draining | Reason::StoreUnavailable => {
            match retry_wait(status) {
                Some(wait) => format!("{said}; try again in {}", for_people(wait)),
                None => format!("{said}; try again later"),
            }
        }
        Reason::KeyNotFound
        | Reason::UserNotFound
        | Reason::RoomNotFound
        | Reason::InvalidKey
        | Reason::InvalidValue
        | Reason::InvalidTtl
        | Reason::InvalidName
        | Reason::InvalidBatch
        | Reason::InvalidPageToken
        | Reason::InvalidMessage
        | Reason::InvalidExpression
        | Reason::InvalidBits
        | Reason::InvalidRequestId
        | Reason::RequestIdReused
        | Reason::QuotaExceeded
        | Reason::Internal => said.to_owned(),
    };
    Failure::of(reason, message)
}

/// A duration in the largest unit that tells it, never as nothing.
pub(super) fn for_people(wait: Duration) -> String {
    let millis = wait.as_millis().max(1);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let exact = units.iter().find(|(size, _)| millis.is_multiple_of(*size));
    match exact {
        Some((1, _)) | None if millis > 1_000 => format!("{}s", millis.div_ceil(1_000)),
        Some((size, unit)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::read;
    use tonic_types::ErrorDetails;

    fn settings() -> Settings {
        let args = ["kvrpc-cli", "--user", "rwitick", "--server", "h:7", "now"];
        read(args.map(Into::into)).unwrap().settings
    }

    fn status(code: Code, reason: &str, message: &str, wait: Option<Duration>) -> Status {
        let mut details = ErrorDetails::with_error_info(reason, "kvrpc", []);
        if wait.is_some() {
            details.set_retry_info(wait);
        }
        <Status as StatusExt>::with_error_details(code, message, details)
    }

    #[tokio::test]
    async fn the_next_step_stands_in_the_message() {
        let wait = Some(Duration::from_millis(5_500));
        for (code, given, said, wait, exit, want) in [
            (
                Code::AlreadyExists,
                "NAME_IN_USE",
                "x",
                None,
                6,
                "the name `rwitick` is in use; take another with --user NAME, or, if it is an \
                 account's, sign in with `kvrpc-cli --user rwitick auth rwitick`",
            ),
            (
                Code::ResourceExhausted,
                "RATE_LIMITED",
                "too many tries",
                wait,
                7,
                "too many tries; try again in 6s",
            ),
            (
                Code::ResourceExhausted,
                "QUOTA_EXCEEDED",
                "the store is full",
                None,
                7,
                "the store is full",
            ),
            (Code::Unauthenticated, "BAD_CREDENTIALS", "x", None, 4, "wrong user or password"),
            (
                Code::PermissionDenied,
                "UPGRADE_NOT_ALLOWED",
                "x",
                None,
                5,
                "only a manager may make you one (ask one for `kvrpc-cli upgrade rwitick`)",
            ),
            (
                Code::DeadlineExceeded,
                "DEADLINE",
                "x",
                None,
                8,
                "no answer from h:7 within 10s; --timeout gives it longer",
            ),
            // Not ours: the code alone tells.
            (Code::PermissionDenied, "SOMETHING", "no", None, 5, "no"),
        ] {
            let failure = explain(&status(code, given, said, wait), &settings()).await;
            assert_eq!((failure.exit.code(), failure.message()), (exit, want), "{given}");
        }
    }

    #[tokio::test]
    async fn every_reason_ends_with_its_own_code() {
        for reason in Reason::ALL {
            let failure =
                explain(&status(Code::Unknown, reason.as_str(), "said", None), &settings()).await;
            assert_eq!(failure.exit, Exit::from(reason), "{}", reason.as_str());
            assert!(!failure.message().is_empty(), "{}", reason.as_str());
        }
    }

    #[test]
    fn durations_for_people() {
        for (millis, want) in [
            (0, "1ms"),
            (250, "250ms"),
            (1_000, "1s"),
            (5_500, "6s"),
            (60_000, "1m"),
            (5_400_000, "90m"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(for_people(Duration::from_millis(millis)), want);
        }
    }
}
