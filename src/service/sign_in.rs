//! Opening and ending sessions.

use std::sync::Arc;
use std::time::Instant;

use super::Service;
use super::authorize::{Handle, Subject, session_expired};
use super::session::{Life, Session};
use super::token::{self, TokenHash};
use super::user::{Standing, User};
use crate::model::request::{Auth, SignIn, SignOut};
use crate::model::{Error, Method, Permission, Reason, Result, SessionInfo, UnixMillis, UserName};

impl Service {
    /// The session that a call's token opens; the call counts as its use.
    ///
    /// # Errors
    /// `SESSION_REQUIRED` where the RPC wants a session and there is no token, or one that can be
    /// none; `SESSION_EXPIRED` for any other token that opens none.
    pub fn authenticate(
        &self,
        method: Method,
        token: Option<&str>,
    ) -> Result<Option<Arc<Session>>> {
        match (self.permission(method), token) {
            (Permission::Open, _) | (Permission::OptionalSession, None) => Ok(None),
            (_, None) => Err(super::authorize::session_required()),
            (_, Some(token)) => {
                let found = self.sessions.find(TokenHash::of(token)?);
                let session = found.ok_or_else(session_expired)?;
                self.use_again(&session, Instant::now())?;
                Ok(Some(session))
            }
        }
    }

    /// Uses a session that an earlier call's token opened, for a call that came `at` this time.
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
}

impl Handle<SignIn> for Service {
    async fn handle(&self, subject: Subject<'_>, SignIn { user }: SignIn) -> Result<SessionInfo> {
        self.rates.sign_in(subject.caller().source)?;
        refuse_socket_name(&user)?;
        let (token, hash) = token::generate();
        let now = self.clock.now();
        let session = self.open_guest(&user, hash, Life::Idle(self.limits.guest_idle), now).await?;
        Ok(info(token, &session, now))
    }
}

impl Handle<Auth> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Auth) -> Result<SessionInfo> {
        let (caller, Auth { user, password }) = (subject.caller(), request);
        // A bad name is a wrong one, and takes as long.
        let name = UserName::new(user).ok();
        let folded = name.as_ref().map_or("", UserName::folded);
        self.rates.password(folded, caller.source)?;
        let right = self.passwords.check(folded, password).await?;
        let account = name
            .as_ref()
            .and_then(|name| self.directory.find(name))
            .filter(|user| user.account && right);
        let Some(account) = account else {
            return Err(Error::new(Reason::BadCredentials, "wrong user or password"));
        };
        self.rates.password_was_right(folded, caller.source);
        let now = self.clock.now();
        match &caller.session {
            Some(session) => {
                // It may have ended while the password was checked.
                let session = Some(session)
                    .filter(|session| session.is_live(now))
                    .ok_or_else(session_expired)?;
                if let Some(shared) = &self.shared {
                    shared.grant(session, &account).await?;
                }
                session.grant(account);
                Ok(info(String::new(), session, now))
            }
            None => {
                let (token, hash) = token::generate();
                let life = Life::Until(now.saturating_add(self.limits.account_session));
                if let Some(shared) = &self.shared {
                    shared.open_session(&account, hash, life, now).await?;
                }
                let session = self.open(&account, hash, life, now)?;
                Ok(info(token, &session, now))
            }
        }
    }
}

impl Handle<SignOut> for Service {
    async fn handle(&self, subject: Subject<'_>, _: SignOut) -> Result<()> {
        let session = subject.session()?;
        if let Some(shared) = &self.shared {
            shared.close(session).await?;
        }
        self.end_session(session);
        Ok(())
    }
}

impl Service {
    /// Ends a session; a guest's name and store go with it.
    pub(super) fn end_session(&self, session: &Arc<Session>) {
        if session.end() {
            self.sessions.remove(session.token);
            if !session.user.account && self.shared.is_none() {
                self.directory.remove(&session.user);
                // A connection may keep the session until it is used again, and the session the
                // store.
                session.user.store.release();
            }
        }
    }

    /// The user of this name, unless it is a guest whose session's time is over: that one ends now.
    pub(super) fn find_user(&self, name: &UserName) -> Option<Arc<User>> {
        let user = self.directory.find(name)?;
        if user.is_there(self.clock.now()) {
            return Some(user);
        }
        for session in user.sessions() {
            self.end_session(&session);
        }
        None
    }

    /// Takes a guest in and opens its session.
    pub(super) async fn open_guest(
        &self,
        name: &UserName,
        hash: TokenHash,
        life: Life,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        if let Some(shared) = &self.shared {
            self.sessions.has_room()?;
            let user = shared.open_guest(name, hash, life, now).await?;
            return self.open(&user, hash, life, now);
        }
        // Frees the name if its session's time is over, though nobody noticed yet.
        self.find_user(name);
        let (_, session) = self.directory.insert(name, |id| {
            let store = self.engine.open(id);
            let user = Arc::new(User::new(id, name.clone(), false, Standing::Guest, store));
            let session = self.open(&user, hash, life, now)?;
            Ok((user, session))
        })?;
        Ok(session)
    }

    pub(super) fn open(
        &self,
        user: &Arc<User>,
        token: TokenHash,
        life: Life,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        let session = Arc::new(Session::new(Arc::clone(user), token, life, now));
        if let Some(shared) = &self.shared {
            session.learn(None, shared.until(life, now), now, now);
        }
        let session = self.sessions.insert(session)?;
        user.adopt(&session);
        Ok(session)
    }
}

/// Refuses the names that sockets get, to all who choose theirs.
pub(super) fn refuse_socket_name(name: &UserName) -> Result<()> {
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
