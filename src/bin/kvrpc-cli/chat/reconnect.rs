//! A stream that is opened again where it was, when the connection is lost.

use std::time::{Duration, Instant};

use tonic::{Code, Status, Streaming};

use crate::Exit;
use crate::args::Settings;
use crate::explain::{explain, reason};
use crate::failure::{Failure, Result};
use kvrpc::model::Reason;

/// The server says something every 15 s at least; a stream that is silent for so long is lost.
const SILENCE: Duration = Duration::from_secs(45);
/// The first wait before another try; each is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without a connection, there will be none.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Number of failed attempts at a stream, and the time of the first.
#[derive(Default)]
pub(crate) struct Reconnect {
    lost: Option<(Instant, Duration)>,
    was_open: bool,
}

impl Reconnect {
    /// The next message of a stream that has no end of its own.
    pub(crate) async fn next<R>(stream: &mut Streaming<R>) -> std::result::Result<R, Status> {
        Self::next_or_end(stream).await?.ok_or_else(|| Status::unavailable("the stream has ended"))
    }

    /// The next message of a stream; `None`: it has ended well.
    pub(super) async fn next_or_end<R>(
        stream: &mut Streaming<R>,
    ) -> std::result::Result<Option<R>, Status> {
        let silent = |_| Err(Status::unavailable("the server is silent"));
        tokio::time::timeout(SILENCE, stream.message()).await.unwrap_or_else(silent)
    }

    /// Takes what an attempt to open the stream gave; `None`, after a while: it is to be tried
    /// again.
    ///
    /// # Errors
    /// A failure ends the command at the first attempt, or if waiting does not help.
    pub(crate) async fn opened<R>(
        &mut self,
        opened: Result<Streaming<R>>,
    ) -> Result<Option<Streaming<R>>> {
        match opened {
            Ok(stream) => {
                self.was_open = true;
                Ok(Some(stream))
            }
            Err(failure)
                if self.was_open && failure.exit == Exit::Unavailable && !self.is_over() =>
            {
                self.wait().await;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Says that the stream is well: the next loss is a first one.
    pub(super) fn is_well(&mut self) {
        self.lost = None;
    }

    /// Waits before the stream, which ended so, is opened again.
    ///
    /// # Errors
    /// If it would end in the same way.
    pub(crate) async fn lost(&mut self, settings: &Settings, status: &Status) -> Result<()> {
        if !may_come_back(status) || self.is_over() {
            return Err(explain(status, settings).await);
        }
        self.wait().await;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.lost.is_some_and(|(since, _)| since.elapsed() > PATIENCE)
    }

    async fn wait(&mut self) {
        let (since, wait) = self.lost.unwrap_or((Instant::now(), FIRST_WAIT));
        tokio::time::sleep(wait).await;
        self.lost = Some((since, (wait * 2).min(LONGEST_WAIT)));
    }
}

/// Returns true if the same stream may be opened again.
fn may_come_back(status: &Status) -> bool {
    match reason(status) {
        Some(Reason::Draining | Reason::StoreUnavailable | Reason::SessionExpired) => true,
        Some(_) => false,
        // A connection that broke comes as one of these.
        None => matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        ),
    }
}

/// The failure of a status, in few words.
pub(super) fn in_short(status: &Status) -> &'static str {
    match reason(status) {
        Some(Reason::Draining) => "the server closes the connection",
        Some(Reason::SessionExpired) => "the session has ended",
        _ => "the connection is lost",
    }
}

/// Returns the exit code for a refused message.
pub(super) fn refused(reason: &str, message: &str) -> Failure {
    match Reason::parse(reason) {
        Some(reason) => Failure::of(reason, message),
        None => Failure::failed(message),
    }
}
