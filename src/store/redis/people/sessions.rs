//! Sessions, and who used whose store.

use redis::{Value, cmd};

use super::{AccessRecord, SessionRecord, UserKeys};
use crate::model::{Result, UnixMillis};
use crate::store::redis::engine::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::link::Effect;
use crate::store::redis::reply::{self, Parts};
use crate::store::redis::topology::text;

impl RedisEngine {
    /// Opens a session; `token` is the hash of its token, in letters and digits.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn open_session(&self, token: &str, session: &SessionRecord) -> Result<()> {
        let (slot, key) = self.session_key(token);
        let mut admit = call("admit", &[&key]);
        let until = session.until.as_u64();
        admit.arg(until).arg("user").arg(session.user).arg("until").arg(until);
        self.done(slot, &admit, Effect::WritesOnce).await?;
        let keys = UserKeys::new(&self.0.namespace, session.user);
        let mut belong = call("belong", &[&keys.sessions, &keys.user]);
        belong.arg(token).arg(until).arg(self.0.clock.now().as_u64());
        self.done(keys.slot, &belong, Effect::WritesOnce).await.map(|_| ())
    }

    /// A session.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn find_session(&self, token: &str) -> Result<Option<SessionRecord>> {
        let (slot, key) = self.session_key(token);
        let mut fields = self.fields(slot, &key).await?;
        let number = |name: &str| fields.get(name).and_then(|number| number.parse().ok());
        let (Some(user), Some(until)) = (number("user"), number("until")) else { return Ok(None) };
        let until = UnixMillis::new(until);
        Ok(Some(SessionRecord { user, until, grant: fields.remove("grant") }))
    }

    /// Gives a session a longer life.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn prolong_session(&self, token: &str, until: UnixMillis) -> Result<()> {
        let (slot, key) = self.session_key(token);
        let mut note = call("note", &[&key]);
        let until = until.as_u64();
        note.arg("until").arg(until).arg(until);
        self.0.link.run(slot, &note, Effect::WritesLocally).await.map(|_| ())
    }

    /// Ends a session. With a store that waits for replicas, so does this.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn close_session(&self, token: &str, user: u64) -> Result<()> {
        let (slot, key) = self.session_key(token);
        self.0.link.run(slot, cmd("UNLINK").arg(&key), Effect::WritesOnce).await?;
        let keys = UserKeys::new(&self.0.namespace, user);
        self.0
            .link
            .run(keys.slot, cmd("ZREM").arg(&keys.sessions).arg(token), Effect::WritesLocally)
            .await
            .map(|_| ())
    }

    /// The sessions of a user, some of which may have ended.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn sessions_of(&self, user: u64) -> Result<Vec<String>> {
        let keys = UserKeys::new(&self.0.namespace, user);
        let sessions = match self
            .0
            .link
            .run(keys.slot, cmd("ZRANGE").arg(&keys.sessions).arg(0).arg(-1), Effect::Reads)
            .await?
        {
            Value::Array(sessions) => sessions,
            _ => return Err(reply::strange("sessions")),
        };
        Ok(sessions.iter().filter_map(text).collect())
    }

    /// Puts on record for its owner that a store is used.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn witness(&self, owner: u64, what: &[u8], role: &str) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, owner);
        let mut witness = call("witness", &keys.of_accesses());
        witness.arg(self.0.now()).arg(what).arg(role);
        self.done(keys.slot, &witness, Effect::WritesOnce).await.map(|_| ())
    }

    /// The latest accesses to a store, before this place.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn witnessed(
        &self,
        owner: u64,
        before: Option<u64>,
        size: usize,
    ) -> Result<Vec<AccessRecord>> {
        let keys = UserKeys::new(&self.0.namespace, owner);
        let mut witnessed = call("witnessed", &[&keys.accesses, &keys.accessed]);
        witnessed.arg(before.map_or("+inf".to_owned(), |before| format!("({before}"))).arg(size);
        let Some(mut rows) = self.done(keys.slot, &witnessed, Effect::Reads).await? else {
            return Ok(Vec::new());
        };
        let mut accesses = Vec::new();
        while let Some(Value::Array(row)) = rows.next() {
            let mut row = Parts::new(row);
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
