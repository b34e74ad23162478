//! Accounts, and the roles and sessions that users keep or lose.

use super::UserKeys;
use crate::model::Result;
use crate::store::redis::engine::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply;
use crate::store::redis::router::Effect;
use crate::store::redis::topology::{slot_of, text};

impl RedisEngine {
    /// Raises a user's privilege level to `standing`, unless it is higher. Returns false if there
    /// is no such user.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be raised.
    pub async fn raise(&self, id: u64, standing: u8) -> Result<bool> {
        self.set_role(id, standing, "raise", false).await
    }

    /// Sets a user's privilege level, revokes what passwords granted, and ends all of its sessions
    /// if `end_sessions` is set, however many there are. Returns false if there is no such user.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be set.
    pub async fn lower(&self, id: u64, standing: u8, end_sessions: bool) -> Result<bool> {
        self.set_role(id, standing, "set", end_sessions).await
    }

    /// Ends all sessions of a user, however many there are. Its role stays.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: they may have ended.
    pub async fn end_sessions(&self, id: u64) -> Result<()> {
        self.set_role(id, 0, "raise", true).await.map(|_| ())
    }

    async fn set_role(&self, id: u64, standing: u8, how: &str, end: bool) -> Result<bool> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut set = call("set_role", &[&keys.user]);
        set.arg(standing).arg(how).arg(u8::from(end));
        self.done(keys.slot, &set, Effect::WritesOnce).await.map(|done| done.is_some())
    }

    /// Records a grant with the user, or with `session` if it names one. Returns false if that is
    /// gone.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be recorded.
    pub async fn grant(&self, id: u64, session: Option<&str>, grant: &str) -> Result<bool> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let (slot, key) = match session {
            Some(session) => self.session_key(session),
            None => (keys.slot, keys.user),
        };
        let mut set = call("set_field", &[&key]);
        set.arg("grant").arg(grant);
        self.done(slot, &set, Effect::WritesOnce).await.map(|done| done.is_some())
    }

    /// Names the accounts that servers on the engine have in their configurations, in place of
    /// those named before. Returns the ids of the accounts that are no longer among them.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: they may be named.
    pub async fn name_accounts(&self, accounts: &[u64]) -> Result<Vec<u64>> {
        let (slot, key) = (slot_of("accounts"), format!("{}:{{accounts}}", self.0.namespace));
        let mut name = call("name_accounts", &[&key]);
        for id in accounts {
            name.arg(id);
        }
        let Some(mut gone) = self.done(slot, &name, Effect::WritesOnce).await? else {
            return Err(reply::unexpected("accounts"));
        };
        std::iter::from_fn(|| gone.next())
            .map(|id| text(&id).and_then(|id| id.parse().ok()))
            .map(|id| id.ok_or_else(|| reply::unexpected("an account's id")))
            .collect()
    }
}
