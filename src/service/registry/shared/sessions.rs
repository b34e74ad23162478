//! Shared sessions: their state in this process, and their expiry in the engine.

use std::sync::Arc;

use futures_util::future::{try_join, try_join3};

use super::users::remove_guest;
use super::{FORGET_AFTER, LEASE, REFRESH_AFTER, STALE_AFTER, SharedRegistry};
use crate::model::{Result, UnixMillis};
use crate::service::authorize::session_expired;
use crate::service::session::{ExpiryPolicy, Session};
use crate::service::token::TokenHash;
use crate::service::user::{Privilege, User};
use crate::store::redis::{SessionRecord, UserRecord};

impl SharedRegistry {
    /// Opens a session of an account.
    ///
    /// # Errors
    /// `SERVER_FULL`, `STORE_UNAVAILABLE`.
    pub(in super::super) async fn open_session(
        &self,
        user: &Arc<User>,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        let owner = self.engine.find_user(user.id).await?.ok_or_else(session_expired)?;
        let (until, generation) = (self.until(expiry, now), owner.generation);
        let record = SessionRecord { user: user.id, until, grant: None, generation };
        self.engine.open_session(&token.to_text(), &record).await?;
        self.insert_session(user, token, expiry, until, now)
    }

    /// Adds a session, which the engine keeps until `kept`, to those that this process knows.
    ///
    /// # Errors
    /// `SERVER_FULL`.
    pub(super) fn insert_session(
        &self,
        user: &Arc<User>,
        token: TokenHash,
        expiry: ExpiryPolicy,
        kept: UnixMillis,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        let session = Arc::new(Session::new(Arc::clone(user), token, expiry, now));
        session.learn(kept, now, now);
        let session = self.sessions.insert(session)?;
        user.adopt(&session);
        Ok(session)
    }

    /// Returns the time until which the engine keeps a session that is used `now`.
    pub(super) fn until(&self, expiry: ExpiryPolicy, now: UnixMillis) -> UnixMillis {
        match expiry {
            ExpiryPolicy::Until(end) => end,
            ExpiryPolicy::Connection => now.saturating_add(LEASE),
            ExpiryPolicy::Idle(idle) => now.saturating_add(idle).saturating_add(self.slack),
        }
    }

    /// Gives a session the privilege of an account, in the engine.
    ///
    /// # Errors
    /// `SESSION_EXPIRED` if the engine no longer has the session; `STORE_UNAVAILABLE`.
    pub(in super::super) async fn grant(&self, session: &Session, account: &User) -> Result<()> {
        let user = &session.user;
        // A guest has one session, and its role is shown to others: its grant is stored with the
        // user.
        let token = user.account.then(|| session.token.to_text());
        let owner = self.engine.find_user(user.id).await?.ok_or_else(session_expired)?;
        let grant = self.grant_of(account, owner.roles);
        let exists = self.engine.grant(user.id, token.as_deref(), &grant).await?;
        if exists { Ok(()) } else { Err(session_expired()) }
    }

    /// Ends a session in the engine; a guest is removed with it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub(in super::super) async fn close(&self, session: &Session) -> Result<()> {
        let user = &session.user;
        self.engine.close_session(&session.token.to_text()).await?;
        if !user.account {
            remove_guest(&self.engine, user.id, user.name.folded()).await?;
        }
        Ok(())
    }

    /// Ends a connection's session in the engine, unless it has ended. If that fails, its guest
    /// is removed when its lease ends.
    pub(in super::super) fn close_in_background(&self, session: &Session) {
        if !session.has_ended() {
            let user = &session.user;
            self.remove_guest_in_background(user.id, user.name.folded().to_owned(), session.token);
        }
    }

    /// Ends a session in this process.
    pub(in super::super) fn end_here(&self, session: &Session) {
        if session.end() {
            self.sessions.remove(session.token);
        }
    }

    /// Returns true if the session's state is recent enough for a call; refreshes it in the
    /// background if it will soon not be.
    pub(in super::super) fn is_fresh(self: &Arc<Self>, session: &Arc<Session>) -> bool {
        let age = session.age(self.clock.now());
        if (REFRESH_AFTER..STALE_AFTER).contains(&age) {
            self.refresh_in_background(session);
        }
        age < STALE_AFTER && !session.has_ended()
    }

    /// Updates the session of this token from the engine, or adds it to those known here. Does
    /// nothing if there is no such session.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`.
    pub(in super::super) async fn look_up(&self, token: TokenHash) -> Result<()> {
        if let Some(session) = self.sessions.find(token) {
            return self.refresh(&session).await;
        }
        let Some(known) = self.engine.find_session(&token.to_text()).await? else {
            return Ok(());
        };
        let Some(owner) = self.engine.find_user(known.user).await? else { return Ok(()) };
        let user = self.user(known.user, &owner.name, owner.account)?;
        if !self.is_valid(&user, &known, &owner) {
            return Ok(());
        }
        let expiry = if owner.account {
            ExpiryPolicy::Until(known.until)
        } else {
            ExpiryPolicy::Idle(self.guest_idle)
        };
        let now = self.clock.now();
        let session = self.insert_session(&user, token, expiry, known.until, now)?;
        self.refresh(&session).await
    }

    /// Updates a session from the engine, and extends its expiry there when that is due.
    async fn refresh(&self, session: &Session) -> Result<()> {
        let asked_at = self.clock.now();
        let token = session.token.to_text();
        let user = &session.user;
        // Read before the engine is asked: what is taken back meanwhile is not learnt again.
        let before = user.standing();
        let (known, owner) =
            try_join(self.engine.find_session(&token), self.engine.find_user(user.id)).await?;
        let (Some(known), Some(owner)) = (known, owner) else {
            session.end();
            return Ok(());
        };
        if !self.is_valid(user, &known, &owner) {
            session.end();
            return Ok(());
        }
        let granted = self.granted(known.grant.as_ref().or(owner.grant.as_ref()), owner.roles);
        if let Some(account) = granted {
            let before = account.standing();
            if let Some(record) = self.engine.find_user(account.id).await? {
                account.learn(before, Privilege::from_bits(record.standing));
            }
        }
        user.learn(before, Privilege::from_bits(owner.standing));
        session.learn_grant(before, granted.cloned());
        session.learn(known.until, self.last_use(session, known.until), asked_at);
        // A call or an open stream had the session refreshed, and that is a use: the idle time is
        // counted from now on, and not from the use before.
        let now = self.clock.now();
        if session.is_live(now) {
            session.touch(now);
        }
        self.extend(session).await
    }

    /// Returns true if a session has not ended with its generation, nor with its account.
    fn is_valid(&self, user: &User, session: &SessionRecord, owner: &UserRecord) -> bool {
        let exists = !user.account || self.account_of(user.id, &user.name).is_some();
        exists && session.generation == owner.generation
    }

    fn refresh_in_background(self: &Arc<Self>, session: &Arc<Session>) {
        if session.begin_refresh() {
            let (this, session) = (Arc::clone(self), Arc::clone(session));
            self.engine.in_background(async move {
                let refreshed = this.refresh(&session).await;
                session.end_refresh();
                refreshed
            });
        }
    }

    /// Returns the latest use of a session that the engine keeps until `until`.
    fn last_use(&self, session: &Session, until: UnixMillis) -> UnixMillis {
        match session.expiry_policy() {
            ExpiryPolicy::Idle(idle) => until.saturating_sub(idle).saturating_sub(self.slack),
            ExpiryPolicy::Until(_) | ExpiryPolicy::Connection => UnixMillis::default(),
        }
    }

    /// Extends a session's expiry in the engine, if the extension is long enough to be worth a
    /// command.
    async fn extend(&self, session: &Session) -> Result<()> {
        let now = self.clock.now();
        let (used, least) = match session.expiry_policy() {
            ExpiryPolicy::Until(_) => return Ok(()),
            ExpiryPolicy::Connection => (now, LEASE / 4),
            ExpiryPolicy::Idle(_) => (session.last_use(now), self.slack / 2),
        };
        let until = self.until(session.expiry_policy(), used);
        if session.has_ended() || until < session.kept_until().saturating_add(least) {
            return Ok(());
        }
        let user = &session.user;
        let token = session.token.to_text();
        let extended = self.engine.prolong_session(&token, until);
        if user.account {
            extended.await?;
        } else {
            let name = self.engine.hold_name(user.name.folded(), user.id, until);
            try_join3(extended, name, self.engine.prolong(user.id, until)).await?;
        }
        session.set_kept_until(until);
        Ok(())
    }

    /// Refreshes the sessions of the next eighth of the table that have open streams or
    /// connections, and forgets those that have ended or are not in use.
    pub(in super::super) fn sweep(self: &Arc<Self>) {
        let now = self.clock.now();
        for session in self.sessions.next_part() {
            let open = session.has_streams()
                || matches!(session.expiry_policy(), ExpiryPolicy::Connection);
            if session.has_ended() || (!open && session.age(now) > FORGET_AFTER) {
                // Marked as ended for its current holders; a later call with its token looks it up.
                session.end();
                self.sessions.remove(session.token);
            } else if open && session.age(now) >= REFRESH_AFTER / 2 {
                self.refresh_in_background(&session);
            }
        }
    }
}
