//! One call: who makes it, until when, and how it ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{DOOR, deadline};
use crate::listen::ConnInfo;
use crate::model::{Command, Error, Reason, Reply, Result};
use crate::pb;
use crate::service::{Answer, Caller, Method, Service};

/// A call that was let in. When its last holder lets go, it is counted and logged.
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    pub(super) method: Method,
    pub(super) caller: Caller,
    /// `None`: a stream whose client set no time.
    pub(super) end: Option<Instant>,
    /// Cancelled when the connection or the server wants its streams to end.
    pub(super) closing: CancellationToken,
    started: Instant,
    failure: OnceLock<Reason>,
}

impl Call {
    /// Reads who calls and for how long, and checks the token.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, and `INVALID_MESSAGE` for a malformed `grpc-timeout`.
    pub(super) fn begin(service: &Arc<Service>, method: Method, headers: &HeaderMap, conn: &ConnInfo) -> Result<Self> {
        let started = Instant::now();
        let requested = deadline::requested(headers)?;
        let timeout = match method.answer() {
            Answer::Unary => {
                Some(requested.map_or(service.limits().call_timeout, |asked| asked.min(service.limits().call_timeout)))
            }
            Answer::Stream => requested,
        };
        let session = service.authenticate(method, bearer(headers))?;
        Ok(Self {
            service: Arc::clone(service),
            method,
            caller: Caller { session, door: DOOR, source: conn.peer.ip() },
            end: timeout.and_then(|timeout| started.checked_add(timeout)),
            closing: conn.closing.clone(),
            started,
            failure: OnceLock::new(),
        })
    }

    /// Runs one command.
    pub(super) async fn execute(&self, command: Command) -> Result<Reply> {
        self.service.execute(&self.caller, command).await
    }

    /// The status of a failure, which becomes the call's outcome.
    pub(super) fn fail(&self, error: &Error) -> Status {
        // The first failure is the call's; a later one would be its consequence.
        let _ = self.failure.set(error.reason());
        log_internal(self.method, error);
        pb::status(error)
    }

    /// Whether it failed, in a way that the service knows of.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Whether a stream may go on.
    ///
    /// # Errors
    /// `DRAINING`, `DEADLINE`.
    pub(super) fn check(&self) -> Result<()> {
        if self.closing.is_cancelled() {
            return Err(draining());
        }
        match self.end {
            Some(end) if end <= Instant::now() => Err(deadline::exceeded()),
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.service.metrics().answered(self.method, took);
        let failure = self.failure.get().copied();
        if let Some(reason) = failure {
            self.service.metrics().failed(self.method, reason);
        }
        tracing::debug!(
            door = DOOR,
            peer = %self.caller.source,
            user = self.caller.session.as_ref().map(|session| session.user.name.as_str()),
            command = self.method.name(),
            reason = failure.map_or("OK", Reason::as_str),
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "call"
        );
    }
}

pub(super) fn log_internal(method: Method, error: &Error) {
    if error.reason() == Reason::Internal {
        tracing::error!(command = method.name(), ?error, "internal error");
    }
}

pub(super) fn draining() -> Error {
    Error::new(Reason::Draining, "the server is shutting down; connect again").retry_after(Duration::from_secs(1))
}

/// The token of `authorization: Bearer TOKEN` (RFC 6750, section 2.1; the scheme in any case, RFC 9110, section 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    // A header that is there and no bearer token is a malformed token, not an absent one.
    let header = headers.get(AUTHORIZATION)?;
    let Ok(text) = header.to_str() else { return Some("") };
    match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => Some(token.trim_start()),
        Some(_) | None => Some(""),
    }
}

/// The handlers of all services. Each is one line: message to command, command to reply, reply to message.
#[derive(Clone)]
pub(super) struct Api;

impl Api {
    pub(super) async fn unary<M, R>(&self, request: Request<M>) -> std::result::Result<Response<R>, Status>
    where
        Command: TryFrom<M, Error = Error>,
        R: TryFrom<Reply, Error = Error>,
    {
        let (call, message) = opened(request)?;
        let answered = async { R::try_from(call.execute(Command::try_from(message)?).await?) }.await;
        answered.map(Response::new).map_err(|error| call.fail(&error))
    }
}

/// The call that a request belongs to, and its message.
pub(super) fn opened<M>(mut request: Request<M>) -> std::result::Result<(Arc<Call>, M), Status> {
    match request.extensions_mut().remove::<Arc<Call>>() {
        Some(call) => Ok((call, request.into_inner())),
        None => Err(pb::status(&Error::internal("a request came by the layer that lets calls in"))),
    }
}
