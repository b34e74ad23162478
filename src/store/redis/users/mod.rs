//! Names, users, sessions and access logs, as all servers on one engine share them.
//!
//! A record is written before it is used, with the same durability as any write. The keys of a
//! guest have a deadline in Redis, which the server of the guest's session extends; without that,
//! they expire.

mod list;
mod roles;
mod sessions;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use redis::{Cmd, Value, cmd};

use super::engine::RedisEngine;
use super::library::call;
use super::reply::{self, ReplyParts};
use super::router::Effect;
use super::topology::{slot_of, text};
use crate::model::{Error, Result, UnixMillis};

/// Holder of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// User's id.
    pub id: u64,
    /// Name as it was written.
    pub name: String,
    /// True for an account.
    pub account: bool,
}

/// User.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// Name as it was written.
    pub name: String,
    /// True for an account.
    pub account: bool,
    /// Number of its privilege level.
    pub standing: u8,
    /// Grant of the account whose password was given in its session.
    pub grant: Option<String>,
    /// Number of times that all of its sessions were ended at once; earlier sessions have ended.
    pub generation: u64,
    /// Number of times that its role was taken back; earlier grants have ended.
    pub roles: u64,
}

/// Session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// User's id.
    pub user: u64,
    /// When it ends, if it is not extended.
    pub until: UnixMillis,
    /// Grant of the account whose password was given in it, if it is an account's session.
    pub grant: Option<String>,
    /// Generation of its user when it was opened.
    pub generation: u64,
}

/// Row of a store's access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// Position in the log: the latest row has the highest.
    pub order: u64,
    /// User, protocol, RPC and key, encoded by the service.
    pub what: Vec<u8>,
    /// Role at the last access.
    pub role: String,
    /// Number of accesses.
    pub count: u64,
    /// Time of the first access.
    pub first: UnixMillis,
    /// Time of the last access.
    pub last: UnixMillis,
}

/// From this bit on, a user's id is the time at which it was made, in Unix milliseconds.
const ID_TIME_BIT: u32 = 21;

/// Time at which the user of this id was made.
pub(super) fn made_at(id: u64) -> UnixMillis {
    UnixMillis::new(id >> ID_TIME_BIT)
}

/// Deadline in the form that the functions take: Unix milliseconds; 0: none.
fn millis_or_zero(time: Option<UnixMillis>) -> u64 {
    time.map_or(0, UnixMillis::as_u64)
}

impl RedisEngine {
    /// Makes the id of a new user: rising with time, and different from other servers'.
    pub fn new_id(&self) -> u64 {
        let id = (self.0.clock.now().as_u64() << ID_TIME_BIT) | (rand::random::<u64>() >> 43);
        // Of two ids made in one millisecond, the later one is higher too.
        let last = self.0.last_id.fetch_max(id, Ordering::Relaxed);
        if last < id { id } else { self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Takes a name for a user until `deadline`, or returns the id of its holder.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`; `OUTCOME_UNKNOWN`: the name may be taken.
    pub async fn take_name(
        &self,
        folded: &str,
        holder: &NameRecord,
        deadline: Option<UnixMillis>,
    ) -> Result<std::result::Result<(), u64>> {
        let (slot, key) = self.name_key(folded);
        let mut take = call("take", &[&key]);
        take.arg(holder.id)
            .arg(&holder.name)
            .arg(u8::from(holder.account))
            .arg(millis_or_zero(deadline));
        match reply::outcome(self.0.router.run(slot, &take, Effect::WritesOnce).await?)? {
            Ok(_) => Ok(Ok(())),
            Err(refused) => {
                let mut refused = ReplyParts::new(refused);
                refused.next();
                Ok(Err(refused.number()?))
            }
        }
    }

    /// Extends a name's deadline, if it is this user's.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be extended.
    pub async fn hold_name(&self, folded: &str, id: u64, deadline: UnixMillis) -> Result<()> {
        let (slot, key) = self.name_key(folded);
        self.0
            .router
            .run(slot, call("hold", &[&key]).arg(id).arg(deadline.as_u64()), Effect::WritesLocally)
            .await
            .map(|_| ())
    }

    /// Frees a name, if it is this user's.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be free.
    pub async fn free_name(&self, folded: &str, id: u64) -> Result<()> {
        let (slot, key) = self.name_key(folded);
        self.0.router.run(slot, call("hold", &[&key]).arg(id), Effect::WritesOnce).await.map(|_| ())
    }

    /// Finds the holder of a name.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn find_name(&self, folded: &str) -> Result<Option<NameRecord>> {
        let (slot, key) = self.name_key(folded);
        let mut fields = self.fields(slot, &key).await?;
        let Some(id) = fields.remove("id").and_then(|id| id.parse().ok()) else { return Ok(None) };
        let account = fields.get("account").is_some_and(|account| account == "1");
        Ok(Some(NameRecord { id, name: fields.remove("name").unwrap_or_default(), account }))
    }

    /// Makes a user and its store, which expire at `deadline`; `None`: never. Returns false for a
    /// guest whose id is another user's. `password` is a digest of an account's password hash: if
    /// it differs from the one on record, the account's sessions end.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`; `OUTCOME_UNKNOWN`: they may be made.
    pub async fn enter(
        &self,
        id: u64,
        user: &UserRecord,
        password: &str,
        deadline: Option<UnixMillis>,
    ) -> Result<bool> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let epoch: u64 = rand::random();
        let mut enter =
            call("enter", &[&keys.entries, &keys.order, &keys.expiries, &keys.changes, &keys.user]);
        enter
            .arg(epoch.to_le_bytes().as_slice())
            .arg(millis_or_zero(deadline))
            .arg(&user.name)
            .arg(u8::from(user.account));
        enter.arg(user.standing).arg(password);
        self.done(keys.slot, &enter, Effect::WritesOnce).await.map(|done| done.is_some())
    }

    /// Finds a user.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn find_user(&self, id: u64) -> Result<Option<UserRecord>> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut fields = self.fields(keys.slot, &keys.user).await?;
        let Some(standing) = fields.get("standing").and_then(|standing| standing.parse().ok())
        else {
            return Ok(None);
        };
        let account = fields.get("account").is_some_and(|account| account == "1");
        let name = fields.remove("name").unwrap_or_default();
        let count = |name: &str| fields.get(name).and_then(|count| count.parse().ok()).unwrap_or(0);
        let (generation, roles) = (count("generation"), count("roles"));
        let grant = fields.remove("grant");
        Ok(Some(UserRecord { name, account, standing, grant, generation, roles }))
    }

    /// Extends the deadline of a user and its store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be extended.
    pub async fn prolong(&self, id: u64, deadline: UnixMillis) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut prolong = call("prolong", &keys.all());
        prolong.arg(deadline.as_u64());
        self.0.router.run(keys.slot, &prolong, Effect::WritesLocally).await.map(|_| ())
    }

    /// Removes a user and all of its keys.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: they may be removed.
    pub async fn leave(&self, id: u64) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, id);
        self.0
            .router
            .run(keys.slot, &call("remove", &keys.all()), Effect::WritesOnce)
            .await
            .map(|_| ())
    }

    /// Runs `work` on the engine's thread and blocks until it is done, while the server starts.
    ///
    /// # Errors
    /// Those of `work`; `INTERNAL` if the engine has ended.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        self.0.runtime.spawn(async move { drop(done.send(work.await)) });
        outcome.recv().unwrap_or_else(|_| Err(Error::internal("the engine has ended")))
    }

    /// Runs `work` as a background task; its error is logged.
    pub fn in_background(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.0.runtime.spawn(async move {
            if let Err(error) = work.await {
                tracing::debug!(?error, "what was to be done beside the calls failed");
            }
        });
    }

    /// Runs a function. Returns `None` if it refused.
    ///
    /// # Errors
    /// As [`Router::run`](super::router::Router::run).
    pub(super) async fn done(
        &self,
        slot: u16,
        command: &Cmd,
        effect: Effect,
    ) -> Result<Option<ReplyParts>> {
        Ok(reply::outcome(self.0.router.run(slot, command, effect).await?)?.ok())
    }

    async fn fields(&self, slot: u16, key: &str) -> Result<HashMap<String, String>> {
        match self.0.router.run(slot, cmd("HGETALL").arg(key), Effect::Reads).await? {
            Value::Map(pairs) => Ok(pairs
                .iter()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect()),
            Value::Nil => Ok(HashMap::new()),
            Value::ServerError(error) => Err(Error::internal(error.to_string())),
            _ => Err(reply::unexpected("fields")),
        }
    }

    fn name_key(&self, folded: &str) -> (u16, String) {
        // In hexadecimal, since a brace in a name would end the hash tag.
        let tag = format!("n:{}", hex(folded.as_bytes()));
        (slot_of(&tag), format!("{}:{{{tag}}}", self.0.namespace))
    }

    fn session_key(&self, token: &str) -> (u16, String) {
        let tag = format!("s:{token}");
        (slot_of(&tag), format!("{}:{{{tag}}}", self.0.namespace))
    }

    fn users_key(&self) -> (u16, String) {
        (slot_of("users"), format!("{}:{{users}}", self.0.namespace))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keys of one user.
pub(super) struct UserKeys {
    pub(super) slot: u16,
    entries: String,
    order: String,
    expiries: String,
    changes: String,
    answers: String,
    foreign: String,
    pub(super) user: String,
    accesses: String,
    accessed: String,
    /// Rooms that the user is in.
    pub(super) joined: String,
    /// Rooms that the user made.
    pub(super) made: String,
}

impl UserKeys {
    pub(super) fn new(namespace: &str, id: u64) -> Self {
        let key = |name: &str| format!("{namespace}:{{{id}}}:{name}");
        Self {
            slot: slot_of(&id.to_string()),
            entries: key("entries"),
            order: key("order"),
            expiries: key("expiries"),
            changes: key("changes"),
            answers: key("answers"),
            foreign: key("foreign"),
            user: key("user"),
            accesses: key("accesses"),
            accessed: key("accessed"),
            joined: key("joined"),
            made: key("made"),
        }
    }

    /// Keys of the access log, and the user's record.
    pub(super) fn of_accesses(&self) -> [&str; 3] {
        [&self.accesses, &self.accessed, &self.user]
    }

    fn all(&self) -> [&str; 11] {
        [
            &self.entries,
            &self.order,
            &self.expiries,
            &self.changes,
            &self.answers,
            &self.foreign,
            &self.user,
            &self.accesses,
            &self.accessed,
            &self.joined,
            &self.made,
        ]
    }
}
