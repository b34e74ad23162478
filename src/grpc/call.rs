//! One call: who makes it, until when, and how it ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tonic::{Request, Response, Status};

use super::conn::Conn;
use super::{DOOR, deadline};
use crate::listen::Closing;
use crate::model::{Command, Error, Reason, Reply, Result};
use crate::pb;
use crate::service::{Answer, Caller, Method, Service};

/// A call that was let in. When its last holder lets go, it is counted and logged.
pub(super) struct Call {
    conn: Arc<Conn>,
    pub(super) method: Method,
    pub(super) caller: Arc<Caller>,
    /// `None`: a stream whose client set no time.
    pub(super) end: Option<Instant>,
    started: Instant,
    failure: OnceLock<Reason>,
}

impl Call {
    /// Reads for how long the caller wants to wait, and checks its token.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, and `INVALID_MESSAGE` for a malformed `grpc-timeout`.
    pub(super) fn begin(conn: &Arc<Conn>, method: Method, headers: &HeaderMap) -> Result<Self> {
        let started = Instant::now();
        let requested = deadline::requested(headers)?;
        let most = conn.service.limits().call_timeout;
        let timeout = match method.answer() {
            Answer::Unary => Some(requested.map_or(most, |asked| asked.min(most))),
            Answer::Stream => requested,
        };
        let caller = conn.caller(method, headers, started)?;
        Ok(Self {
            method,
            caller,
            end: timeout.and_then(|timeout| started.checked_add(timeout)),
            conn: Arc::clone(conn),
            started,
            failure: OnceLock::new(),
        })
    }

    pub(super) fn service(&self) -> &Service {
        &self.conn.service
    }

    /// Told when the connection or the server wants its streams to end.
    pub(super) fn closing(&self) -> &Closing {
        &self.conn.info.closing
    }

    /// Runs one command.
    pub(super) async fn execute(&self, command: Command) -> Result<Reply> {
        self.service().execute(&self.caller, command).await
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
        if self.closing().is_cancelled() {
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
        self.service().metrics().answered(self.method, took);
        let failure = self.failure.get().copied();
        if let Some(reason) = failure {
            self.service().metrics().failed(self.method, reason);
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
    Error::new(Reason::Draining, "the server is shutting down; connect again")
        .retry_after(Duration::from_secs(1))
}

/// The handlers of all services. Each is one line: message to command, command to reply, reply to
/// message.
#[derive(Clone)]
pub(super) struct Api;

impl Api {
    pub(super) async fn unary<M, R>(
        &self,
        request: Request<M>,
    ) -> std::result::Result<Response<R>, Status>
    where
        Command: TryFrom<M, Error = Error>,
        R: TryFrom<Reply, Error = Error>,
    {
        let (call, message) = opened(request)?;
        let answered =
            async { R::try_from(call.execute(Command::try_from(message)?).await?) }.await;
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
