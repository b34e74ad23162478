//! Calls with a session: it opens at the first call that needs one, is kept between runs, and is
//! renewed once when it has ended.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Exit;
use super::args::Settings;
use super::cache::Cache;
use super::connect;
use super::explain::{Obstacle, explain, obstacle, reason, retry_wait, timed_out};
use super::failure::{Failure, Result};
use kvrpc::model::Reason;
use kvrpc::pb::v1::auth_service_client::AuthServiceClient;
use kvrpc::pb::v1::{SignInRequest, User};

/// Repetitions of a call that is safe to repeat, with the shortest and the longest pause.
const RETRIES: usize = 2;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Result of a stub's call.
type RpcResult<R> = std::result::Result<Response<R>, Status>;

/// A server and the session that its user has there.
pub(super) struct ClientSession {
    pub(super) settings: Arc<Settings>,
    pub(super) cache: Cache,
    channel: Channel,
    held: Mutex<Option<HeldToken>>,
}

#[derive(Clone)]
struct HeldToken {
    token: MetadataValue<Ascii>,
    /// From the environment: it is not ours to renew or forget.
    given: bool,
}

/// Session that a call needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// A session; a new one does when it has ended.
    Session,
    /// The session that there is, if there is one, and no other.
    ThisSession,
}

impl ClientSession {
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self> {
        let cache = Cache::new(settings.cache_dir.clone(), &settings.server, &settings.user);
        Ok(Self { channel: connect::channel(&settings)?, cache, held: Mutex::new(None), settings })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Makes a call, and makes it again where that is safe: after a lost connection (writes have a
    /// request id), and once with a new session.
    pub(super) async fn call<Q, R, F>(&self, need: Need, message: Q, rpc: F) -> Result<R>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> RpcResult<R>,
    {
        self.repeat(need, Some(self.settings.timeout), message, rpc).await
    }

    /// Opens a stream in the same way. The time is for its beginning; [`ClientSession::next`] gives
    /// each message its own.
    pub(super) async fn open<Q, R, F>(&self, message: Q, rpc: F) -> Result<Streaming<R>>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> RpcResult<Streaming<R>>,
    {
        self.repeat(Need::Session, None, message, rpc).await
    }

    /// The next message of a stream; `None`: it has ended.
    pub(super) async fn next<R>(&self, stream: &mut Streaming<R>) -> Result<Option<R>> {
        match tokio::time::timeout(self.settings.timeout, stream.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(explain(&status, &self.settings).await),
            Err(_) => Err(timed_out(&self.settings)),
        }
    }

    async fn repeat<Q, R, F>(
        &self,
        need: Need,
        deadline: Option<Duration>,
        message: Q,
        rpc: F,
    ) -> Result<R>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> RpcResult<R>,
    {
        let mut renewed = false;
        loop {
            let held = match need {
                Need::Nothing => None,
                Need::Session => Some(self.held().await?),
                Need::ThisSession => self.existing(),
            };
            let attempt = || self.attempt(&message, deadline, held.as_ref(), &rpc);
            let waits = ExponentialBuilder::default()
                .with_min_delay(FIRST_WAIT)
                .with_max_times(RETRIES)
                .with_jitter();
            let answer = attempt
                .retry(waits)
                .when(again)
                .adjust(|status, wait| {
                    wait.map(|wait| retry_wait(status).unwrap_or(wait).min(LONGEST_WAIT))
                })
                .await;
            let status = match answer {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            // The server refused the token, so nothing of the call ran.
            let ended =
                matches!(reason(&status), Some(Reason::SessionExpired | Reason::SessionRequired));
            let ours = held.is_some_and(|held| !held.given);
            if !ended || !ours {
                return Err(explain(&status, &self.settings).await);
            }
            self.forget();
            if need != Need::Session || renewed {
                return Err(explain(&status, &self.settings).await);
            }
            renewed = true;
            self.note_renewal();
        }
    }

    async fn attempt<Q, R, F>(
        &self,
        message: &Q,
        deadline: Option<Duration>,
        held: Option<&HeldToken>,
        rpc: &F,
    ) -> RpcResult<R>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> RpcResult<R>,
    {
        let mut request = Request::new(message.clone());
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        if let Some(held) = held {
            request.metadata_mut().insert("authorization", held.token.clone());
        }
        match tokio::time::timeout(self.settings.timeout, rpc(self.channel(), request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }

    /// The session that there is: held, given, or kept from an earlier run.
    fn existing(&self) -> Option<HeldToken> {
        let mut held = self.held.lock();
        if held.is_none() {
            let given = self.settings.token.as_deref().and_then(|token| bearer(token, true));
            *held = given.or_else(|| self.cache.load().and_then(|token| bearer(&token, false)));
        }
        held.clone()
    }

    /// Returns true if a call can be made without opening a session.
    pub(super) fn exists(&self) -> bool {
        self.existing().is_some()
    }

    async fn held(&self) -> Result<HeldToken> {
        if let Some(held) = self.existing() {
            return Ok(held);
        }
        if self.settings.no_sign_in {
            return Err(Failure::new(
                Exit::NotSignedIn,
                "there is no session, and --no-sign-in forbids opening one",
            ));
        }
        let message = SignInRequest { user: self.settings.user.as_str().to_owned() };
        // Not repeated: a reply that was lost has left the name in use.
        let rpc = async |channel, request| AuthServiceClient::new(channel).sign_in(request).await;
        match self.attempt(&message, Some(self.settings.timeout), None, &rpc).await {
            Ok(response) => self.keep(&response.into_inner().token),
            Err(status) => Err(explain(&status, &self.settings).await),
        }
    }

    /// Holds a token, and keeps it for the next run. Where it cannot be kept, the next run opens
    /// another session.
    fn keep(&self, token: &str) -> Result<HeldToken> {
        let held = bearer(token, false)
            .ok_or_else(|| Failure::failed("the server sent a malformed token"))?;
        *self.held.lock() = Some(held.clone());
        if let Err(error) = self.cache.store(token) {
            self.note(&format!("the session cannot be kept for the next run: {error}"));
        }
        Ok(held)
    }

    /// Takes the session that an `auth` opened; one that it raised keeps its token.
    pub(super) fn adopt(&self, token: &str) -> Result<()> {
        let given = self.existing().is_some_and(|held| held.given);
        if given || token.is_empty() { Ok(()) } else { self.keep(token).map(|_| ()) }
    }

    /// The session's token, which opens if there is none.
    pub(super) async fn token(&self) -> Result<String> {
        let held = self.held().await?;
        let text = held.token.to_str().unwrap_or_default();
        Ok(text.strip_prefix("Bearer ").unwrap_or(text).to_owned())
    }

    /// Forgets the session, unless it came from the environment.
    pub(super) fn forget(&self) {
        let mut held = self.held.lock();
        if held.as_ref().is_some_and(|held| !held.given) {
            *held = None;
            self.cache.forget();
        }
    }

    fn note_renewal(&self) {
        let user = self.settings.user.as_str();
        self.note(&format!(
            "the session had ended; signing in again as {user} (a guest's store goes with its \
             session)"
        ));
    }

    #[allow(
        clippy::print_stderr,
        reason = "a note for the person at the terminal, not for scripts"
    )]
    fn note(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            eprintln!("note: {}", kvrpc::dialect::sanitize::text(text));
        }
    }
}

fn bearer(token: &str, given: bool) -> Option<HeldToken> {
    let mut token: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    token.set_sensitive(true);
    Some(HeldToken { token, given })
}

/// Returns true if the same call may succeed in a moment, which excludes a refused connection.
fn again(status: &Status) -> bool {
    match reason(status) {
        Some(reason) => {
            matches!(reason, Reason::Draining | Reason::StoreUnavailable | Reason::OutcomeUnknown)
        }
        // A connection that was lost has a cause of many kinds and codes.
        None => obstacle(status)
            .map_or(status.code() == Code::Unavailable, |obstacle| obstacle == Obstacle::Other),
    }
}

/// Returns the user that a reply names.
pub(super) fn user_of(user: Option<User>) -> Result<User> {
    user.ok_or_else(|| Failure::failed("the server's reply names no user"))
}
