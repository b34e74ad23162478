//! Sessions and access logs.

use redis::{Value, cmd};

use super::{AccessRecord, SessionRecord, UserKeys};
use crate::model::{Result, UnixMillis};
use crate::store::redis::engine::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply::ReplyParts;
use crate::store::redis::router::Effect;

impl RedisEngine {
    /// Opens a session; `token` is the hash of its token, in letters and digits.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`; `OUTCOME_UNKNOWN`: it may be open.
    pub async fn open_session(&self, token: &str, session: &SessionRecord) -> Result<()> {
        let (slot, key) = self.session_key(token);
        let mut open = call("open_session", &[&key]);
        let until = session.until.as_u64();
        open.arg(until).arg("user").arg(session.user).arg("until").arg(until);
        open.arg("generation").arg(session.generation);
        self.done(slot, &open, Effect::WritesOnce).await.map(|_| ())
    }

    /// Finds a session.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn find_session(&self, token: &str) -> Result<Option<SessionRecord>> {
        let (slot, key) = self.session_key(token);
        let mut fields = self.fields(slot, &key).await?;
        let number = |name: &str| fields.get(name).and_then(|number| number.parse().ok());
        let (Some(user), Some(until)) = (number("user"), number("until")) else { return Ok(None) };
        let until = UnixMillis::new(until);
        let generation = number("generation").unwrap_or(0);
        Ok(Some(SessionRecord { user, until, grant: fields.remove("grant"), generation }))
    }

    /// Extends a session.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be extended.
    pub async fn prolong_session(&self, token: &str, until: UnixMillis) -> Result<()> {
        let (slot, key) = self.session_key(token);
        let mut set = call("set_field", &[&key]);
        let until = until.as_u64();
        set.arg("until").arg(until).arg(until);
        self.0.router.run(slot, &set, Effect::WritesLocally).await.map(|_| ())
    }

    /// Ends a session, and waits for the replicas that the durability level asks for.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may have ended.
    pub async fn close_session(&self, token: &str) -> Result<()> {
        let (slot, key) = self.session_key(token);
        self.0.router.run(slot, cmd("UNLINK").arg(&key), Effect::WritesOnce).await.map(|_| ())
    }

    /// Adds an access to the log of a store's owner.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be in the log.
    pub async fn record_access(&self, owner: u64, what: &[u8], role: &str) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, owner);
        let mut record = call("record_access", &keys.of_accesses());
        record.arg(self.0.now()).arg(what).arg(role);
        self.done(keys.slot, &record, Effect::WritesOnce).await.map(|_| ())
    }

    /// Returns the latest accesses to a store, from before the order `before`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn accesses(
        &self,
        owner: u64,
        before: Option<u64>,
        size: usize,
    ) -> Result<Vec<AccessRecord>> {
        let keys = UserKeys::new(&self.0.namespace, owner);
        let mut accesses = call("accesses", &[&keys.accesses, &keys.accessed]);
        accesses.arg(before.map_or("+inf".to_owned(), |before| format!("({before}"))).arg(size);
        let Some(mut rows) = self.done(keys.slot, &accesses, Effect::Reads).await? else {
            return Ok(Vec::new());
        };
        let mut accesses = Vec::new();
        while let Some(Value::Array(row)) = rows.next() {
            let mut row = ReplyParts::new(row);
            accesses.push(AccessRecord {
                order: row.number()?,
                what: row.bytes()?,
                role: row.text()?,
                count: row.number()?,
                first: UnixMillis::new(row.number()?),
                last: UnixMillis::new(row.number()?),
            });
        }
        Ok(accesses)
    }
}
