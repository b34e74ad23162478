//! One call: its caller, its deadline, and its outcome.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tonic::{Response, Status};

use super::conn::Conn;
use super::{PROTOCOL, deadline};
use crate::listen::{Cause, Closing};
use crate::model::{Error, Method, Reason, Request, Result};
use crate::pb;
use crate::service::{Caller, Handle, Service};

/// A call that was admitted. It is counted and logged when it is dropped.
pub(super) struct Call {
    conn: Arc<Conn>,
    pub(super) method: Method,
    pub(super) caller: Arc<Caller>,
    /// The deadline, or `None` for a stream whose client set none.
    pub(super) end: Option<Instant>,
    started: Instant,
    failure: OnceLock<Reason>,
}

impl Call {
    /// Reads the call's deadline and checks its token.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, and `INVALID_MESSAGE` for a malformed `grpc-timeout`.
    pub(super) fn begin(conn: &Arc<Conn>, method: Method, headers: &HeaderMap) -> Result<Self> {
        let started = Instant::now();
        let requested = deadline::requested(headers)?;
        let most = conn.service.limits().call_timeout;
        let timeout = if method.streams() {
            requested
        } else {
            Some(requested.map_or(most, |asked| asked.min(most)))
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

    /// Returns the signal that the connection or the server wants its streams to end.
    pub(super) fn closing(&self) -> &Closing {
        &self.conn.info.closing
    }

    /// Runs one command.
    pub(super) async fn execute<C: Request>(&self, command: C) -> Result<C::Reply>
    where
        Service: Handle<C>,
    {
        self.service().execute(&self.caller, command).await
    }

    /// Answers a unary RPC: message to command, command to reply, reply to message.
    pub(super) fn unary<C, M, R>(
        &self,
        request: tonic::Request<M>,
    ) -> impl Future<Output = std::result::Result<Response<R>, Status>>
    where
        C: Request + TryFrom<M, Error = Error>,
        R: From<C::Reply>,
        Service: Handle<C>,
    {
        // Outside of the future, which would have room for the message and the command.
        let command = C::try_from(request.into_inner());
        async move {
            let answering = async { self.execute(command?).await };
            let reply = answering.await.map_err(|error| self.fail(&error))?;
            Ok(Response::new(reply.into()))
        }
    }

    /// Returns the status for a handler's panic, which becomes the call's outcome.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Status {
        self.service().metrics().panicked();
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        self.fail(&Error::internal(format!("panicked: {}", text.unwrap_or("no text"))))
    }

    /// Returns the status for a failure, which becomes the call's outcome.
    pub(super) fn fail(&self, error: &Error) -> Status {
        // The first failure is the call's; a later one would be its consequence.
        let _ = self.failure.set(error.reason());
        log_internal(self.method, error);
        pb::status(error)
    }

    /// Returns true if the call has failed with a reason of the contract.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Returns the error of a stream that is ended by the server.
    pub(super) fn closed(&self) -> Error {
        match self.closing().cause() {
            // Another connection can be opened at once.
            Some(Cause::Age) => Error::new(
                Reason::Draining,
                "this connection has reached its age; go on over another",
            ),
            Some(Cause::Stop) | None => draining(),
        }
    }

    /// Checks that a stream has time left.
    ///
    /// # Errors
    /// `DEADLINE`.
    pub(super) fn check_deadline(&self) -> Result<()> {
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
            protocol = PROTOCOL,
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
