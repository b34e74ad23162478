//! Opening and ending sessions.

use std::sync::Arc;
use std::time::Instant;

use super::Service;
use super::authorize::{Handle, Subject, session_expired};
use super::session::{ExpiryPolicy, Session};
use super::token::{self, TokenHash};
use crate::model::request::{Auth, SignIn, SignOut};
use crate::model::{Error, Method, Permission, Reason, Result, SessionInfo, UnixMillis, UserName};

impl Service {
    /// Returns the session of a call's token, and records the call as its use.
    ///
    /// # Errors
    /// `SESSION_REQUIRED` if the RPC needs a session and there is no token or a malformed one;
    /// `SESSION_EXPIRED` for any other token without a session.
    pub fn authenticate(
        &self,
        method: Method,
        token: Option<&str>,
    ) -> Result<Option<Arc<Session>>> {
        match (self.permission(method), token) {
            (Permission::Open, _) | (Permission::OptionalSession, None) => Ok(None),
            (_, None) => Err(super::authorize::session_required()),
            (_, Some(token)) => {
                let found = self.registry.find_session(TokenHash::of(token)?);
                let session = found.ok_or_else(session_expired)?;
                self.use_again(&session, Instant::now())?;
                Ok(Some(session))
            }
        }
    }

    /// Records the use, `at` this time, of a session that an earlier call's token opened.
    ///
    /// # Errors
    /// `SESSION_EXPIRED` if it has ended.
    pub fn use_again(&self, session: &Session, at: Instant) -> Result<()> {
        let now = self.clock.at(at);
        if !session.is_live(now) {
            return Err(session_expired());
        }
        session.touch(now);
        Ok(())
    }

    /// Refuses names that no guest may choose: those of socket clients, and those that look like an
    /// account's. An account's own name is refused by the registry.
    ///
    /// # Errors
    /// `INVALID_NAME`.
    pub(super) fn refuse_unfree_name(&self, name: &UserName) -> Result<()> {
        refuse_socket_name(name)?;
        match self.account_skeletons.get(&name.skeleton()) {
            Some(account) if account != name => {
                let sentence = format!(
                    "the name {:?} looks like that of the account {:?}; choose another",
                    name.as_str(),
                    account.as_str()
                );
                Err(Error::new(Reason::InvalidName, sentence).in_field("user"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns true if other servers may know the sessions too, so that a call may have to wait
    /// for the engine: see [`is_fresh`](Self::is_fresh).
    pub fn shares_sessions(&self) -> bool {
        self.registry.is_shared()
    }

    /// Returns true if the session's state in this process is recent enough for a call. If not,
    /// the call has to wait for [`look_up`](Self::look_up).
    pub fn is_fresh(&self, session: &Arc<Session>) -> bool {
        self.registry.is_fresh(session)
    }

    /// Returns the session of this token if this process knows it, however old its state is.
    pub fn known_session(&self, token: TokenHash) -> Option<Arc<Session>> {
        self.registry.find_session(token)
    }

    /// Updates the session of this token from the engine. Succeeds if there is no such session:
    /// the call that follows is refused then.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`.
    pub async fn look_up(&self, token: TokenHash) -> Result<()> {
        self.registry.look_up(token).await
    }
}

impl Handle<SignIn> for Service {
    async fn handle(&self, subject: Subject<'_>, SignIn { user }: SignIn) -> Result<SessionInfo> {
        self.rates.sign_in(subject.caller().source)?;
        self.refuse_unfree_name(&user)?;
        let (token, hash) = token::generate();
        let now = self.clock.now();
        let expiry = ExpiryPolicy::Idle(self.limits.guest_idle);
        let session = self.registry.open_guest(&user, hash, expiry, now).await?;
        Ok(info(token, &session, now))
    }
}

impl Handle<Auth> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Auth) -> Result<SessionInfo> {
        let (caller, Auth { user, password }) = (subject.caller(), request);
        // A malformed name is refused like a wrong one, after the same time.
        let name = UserName::new(user).ok();
        let folded = name.as_ref().map_or("", UserName::folded);
        // Before the count: a check that is refused is no wrong password.
        let place = self.passwords.admit(caller.source)?;
        self.rates.password(folded, caller.source)?;
        let right = place.check(folded, password).await?;
        let account =
            name.as_ref().and_then(|name| self.registry.find_account(name)).filter(|_| right);
        let Some(account) = account else {
            return Err(Error::new(Reason::BadCredentials, "wrong user or password"));
        };
        self.rates.password_was_right(folded, caller.source);
        let now = self.clock.now();
        match &caller.session {
            Some(session) => {
                // The session may have ended while the password was checked.
                let session = Some(session)
                    .filter(|session| session.is_live(now))
                    .ok_or_else(session_expired)?;
                self.registry.grant(session, account).await?;
                Ok(info(String::new(), session, now))
            }
            None => {
                let (token, hash) = token::generate();
                let expiry = ExpiryPolicy::Until(now.saturating_add(self.limits.account_session));
                let session = self.registry.open_session(&account, hash, expiry, now).await?;
                Ok(info(token, &session, now))
            }
        }
    }
}

impl Handle<SignOut> for Service {
    async fn handle(&self, subject: Subject<'_>, _: SignOut) -> Result<()> {
        self.registry.close(subject.session()?).await
    }
}

/// Refuses names that the server gives to socket clients, which no client may choose.
fn refuse_socket_name(name: &UserName) -> Result<()> {
    if !name.names_socket() {
        return Ok(());
    }
    let sentence =
        "a whole number or ip:port names a socket client; choose a name with a letter in it";
    Err(Error::new(Reason::InvalidName, sentence).in_field("user"))
}

fn info(token: String, session: &Session, now: UnixMillis) -> SessionInfo {
    SessionInfo { token, user: session.view(), expire_time: session.expire_time(now) }
}
