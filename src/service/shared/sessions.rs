//! Sessions that several servers know.

use std::sync::Arc;

use futures_util::future::{try_join, try_join3};

use super::{ASK_AGAIN, FORGET_AFTER, LEASE, Shared, TOO_OLD};
use crate::model::{Result, UnixMillis};
use crate::service::Service;
use crate::service::session::{Life, Session};
use crate::service::token::TokenHash;
use crate::service::user::Standing;

impl Shared {
    /// Asks the engine about a session, tells the session, and prolongs its life when it is time.
    async fn ask(&self, session: &Session) -> Result<()> {
        let asked_at = self.clock.now();
        let token = session.token.to_text();
        let user = &session.user;
        let (known, owner) =
            try_join(self.engine.find_session(&token), self.engine.find_user(user.id)).await?;
        let (Some(known), Some(owner)) = (known, owner) else {
            session.end();
            return Ok(());
        };
        user.learn(Standing::from_bits(owner.standing));
        let granted = known.grant.or(owner.grant).and_then(|account| self.accounts.get(&account));
        if let Some(account) = granted
            && let Some(record) = self.engine.find_user(account.id).await?
        {
            account.learn(Standing::from_bits(record.standing));
        }
        session.learn(granted.cloned(), known.until, self.last_use(session, known.until), asked_at);
        self.prolong(session).await
    }

    /// The latest use of a session that the engine keeps until then.
    fn last_use(&self, session: &Session, until: UnixMillis) -> UnixMillis {
        match session.life() {
            Life::Idle(idle) => until.saturating_sub(idle).saturating_sub(self.slack),
            Life::Until(_) | Life::Connection => UnixMillis::default(),
        }
    }

    async fn prolong(&self, session: &Session) -> Result<()> {
        let now = self.clock.now();
        let used =
            if matches!(session.life(), Life::Connection) { now } else { session.last_use(now) };
        let until = self.until(session.life(), used);
        let least = match session.life() {
            Life::Until(_) => return Ok(()),
            Life::Connection => LEASE / 4,
            Life::Idle(_) => self.slack / 2,
        };
        if session.has_ended() || until < session.held().saturating_add(least) {
            return Ok(());
        }
        let user = &session.user;
        if user.account {
            self.engine.prolong_session(&session.token.to_text(), until).await?;
        } else {
            let token = session.token.to_text();
            let session = self.engine.prolong_session(&token, until);
            let name = self.engine.hold_name(user.name.folded(), user.id, until);
            try_join3(session, name, self.engine.prolong(user.id, until)).await?;
        }
        session.hold(until);
        Ok(())
    }

    /// Asks beside the calls.
    fn ask_later(self: &Arc<Self>, session: &Arc<Session>) {
        if session.begins_to_ask() {
            let (this, session) = (Arc::clone(self), Arc::clone(session));
            self.engine.in_background(async move {
                let asked = this.ask(&session).await;
                session.asked();
                asked
            });
        }
    }
}

impl Service {
    /// Whether other servers may know the sessions too, so that a call may have to wait for what
    /// the engine says: [`knows_enough_of`](Self::knows_enough_of).
    pub fn shares_sessions(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether what is known here of the session is new enough for a call. If not,
    /// [`look_up`](Self::look_up) comes first.
    pub fn knows_enough_of(&self, session: &Arc<Session>) -> bool {
        let Some(shared) = &self.shared else { return true };
        let age = session.age(self.clock.now());
        if (ASK_AGAIN..TOO_OLD).contains(&age) {
            shared.ask_later(session);
        }
        age < TOO_OLD && !session.has_ended()
    }

    /// The session of this token, if it is known here, however old that is.
    pub fn session_known_here(&self, token: TokenHash) -> Option<Arc<Session>> {
        self.sessions.find(token)
    }

    /// Asks the engine for a session, so that this server knows it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`. That there is no such session is none: the call is
    /// refused as with any server.
    pub async fn look_up(&self, token: TokenHash) -> Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if let Some(session) = self.sessions.find(token) {
            return shared.ask(&session).await;
        }
        let Some(known) = shared.engine.find_session(&token.to_text()).await? else {
            return Ok(());
        };
        let Some(owner) = shared.engine.find_user(known.user).await? else { return Ok(()) };
        let user = shared.user(known.user, &owner.name, owner.account)?;
        let life = if owner.account {
            Life::Until(known.until)
        } else {
            Life::Idle(self.limits.guest_idle)
        };
        let now = self.clock.now();
        let session = self.open(&user, token, life, now)?;
        session.learn(None, known.until, UnixMillis::default(), now);
        shared.ask(&session).await
    }

    /// Looks after some of the sessions that are shared: asks about those with open streams or
    /// connections, forgets those that are not used.
    pub(in crate::service) fn look_after_shared(&self) {
        let Some(shared) = &self.shared else { return };
        let now = self.clock.now();
        for session in self.sessions.next_part() {
            let open = session.has_streams() || matches!(session.life(), Life::Connection);
            if session.has_ended() || (!open && session.age(now) > FORGET_AFTER) {
                // For those who still hold it; who comes with its token has it looked up.
                session.end();
                self.sessions.remove(session.token);
            } else if open && session.age(now) >= ASK_AGAIN / 2 {
                shared.ask_later(&session);
            }
        }
    }
}
