//! Who there is, as all servers on one engine know it: names, users, sessions, and who used whose
//! store.
//!
//! A record is written before anybody is told of it, and held to the same promise as any write.
//! What belongs to a guest has a life of its own in the engine, which whoever serves the guest
//! prolongs: it goes by itself when nobody does.

mod sessions;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use redis::{Cmd, Value, cmd};

use super::engine::RedisEngine;
use super::library::call;
use super::link::Effect;
use super::reply::{self, Parts};
use super::topology::{slot_of, text};
use crate::model::{Error, Result, UnixMillis};

/// A name's holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The user.
    pub id: u64,
    /// The name as it was written.
    pub name: String,
    /// Whether it is an account.
    pub account: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// Its name as it was written.
    pub name: String,
    /// Whether it is an account.
    pub account: bool,
    /// How it came by its role: the number of a standing.
    pub standing: u8,
    /// The account whose password was given in its session.
    pub grant: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose it is.
    pub user: u64,
    /// When it ends, if nobody prolongs it.
    pub until: UnixMillis,
    /// The account whose password was given in it, if it is an account's session.
    pub grant: Option<String>,
}

/// What of a store somebody else used, as the owner is told: packed by the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// Its place: the latest has the highest.
    pub order: u64,
    /// Who did what.
    pub what: Vec<u8>,
    /// The role at the last time.
    pub role: String,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: UnixMillis,
    /// The last time.
    pub last: UnixMillis,
}

/// Above this bit, a user's id is the time at which it was made.
const ID_TIME_BIT: u32 = 21;

/// When the user of this id was made.
pub(super) fn made_at(id: u64) -> UnixMillis {
    UnixMillis::new(id >> ID_TIME_BIT)
}

/// A deadline as the functions take it, in Unix milliseconds; 0: never.
fn deadline(time: Option<UnixMillis>) -> u64 {
    time.map_or(0, UnixMillis::as_u64)
}

impl RedisEngine {
    /// An id for a new user: rising with time, and no other server's.
    pub fn new_id(&self) -> u64 {
        let id = (self.0.clock.now().as_u64() << ID_TIME_BIT) | (rand::random::<u64>() >> 43);
        // Of two in one millisecond the later one is higher too.
        let last = self.0.last_id.fetch_max(id, Ordering::Relaxed);
        if last < id { id } else { self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Takes a name for a user, or tells who has it.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn take_name(
        &self,
        folded: &str,
        holder: &NameRecord,
        life: Option<UnixMillis>,
    ) -> Result<std::result::Result<(), u64>> {
        let (slot, key) = self.name_key(folded);
        let mut take = call("take", &[&key]);
        take.arg(holder.id).arg(&holder.name).arg(u8::from(holder.account)).arg(deadline(life));
        match reply::outcome(self.0.link.run(slot, &take, Effect::WritesOnce).await?)? {
            Ok(_) => Ok(Ok(())),
            Err(refused) => {
                let mut refused = Parts::new(refused);
                refused.next();
                Ok(Err(refused.number()?))
            }
        }
    }

    /// Gives a name that is this user's a longer life.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn hold_name(&self, folded: &str, id: u64, life: UnixMillis) -> Result<()> {
        let (slot, key) = self.name_key(folded);
        self.0
            .link
            .run(slot, call("hold", &[&key]).arg(id).arg(life.as_u64()), Effect::WritesLocally)
            .await
            .map(|_| ())
    }

    /// Lets a name go, if it is this user's.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn free_name(&self, folded: &str, id: u64) -> Result<()> {
        let (slot, key) = self.name_key(folded);
        self.0.link.run(slot, call("hold", &[&key]).arg(id), Effect::WritesOnce).await.map(|_| ())
    }

    /// Who has a name.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn find_name(&self, folded: &str) -> Result<Option<NameRecord>> {
        let (slot, key) = self.name_key(folded);
        let mut fields = self.fields(slot, &key).await?;
        let Some(id) = fields.remove("id").and_then(|id| id.parse().ok()) else { return Ok(None) };
        let account = fields.get("account").is_some_and(|account| account == "1");
        Ok(Some(NameRecord { id, name: fields.remove("name").unwrap_or_default(), account }))
    }

    /// Makes a user and its store.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn enter(&self, id: u64, user: &UserRecord, life: Option<UnixMillis>) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let epoch: u64 = rand::random();
        let mut enter =
            call("enter", &[&keys.entries, &keys.order, &keys.expiries, &keys.changes, &keys.user]);
        enter
            .arg(epoch.to_le_bytes().as_slice())
            .arg(deadline(life))
            .arg(&user.name)
            .arg(u8::from(user.account));
        enter.arg(user.standing);
        self.done(keys.slot, &enter, Effect::WritesOnce).await.map(|_| ())
    }

    /// A user.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn find_user(&self, id: u64) -> Result<Option<UserRecord>> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut fields = self.fields(keys.slot, &keys.user).await?;
        let Some(standing) = fields.get("standing").and_then(|standing| standing.parse().ok())
        else {
            return Ok(None);
        };
        let account = fields.get("account").is_some_and(|account| account == "1");
        let name = fields.remove("name").unwrap_or_default();
        Ok(Some(UserRecord { name, account, standing, grant: fields.remove("grant") }))
    }

    /// Gives a user and its store a longer life.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn prolong(&self, id: u64, life: UnixMillis) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut prolong = call("prolong", &keys.all());
        prolong.arg(life.as_u64());
        self.0.link.run(keys.slot, &prolong, Effect::WritesLocally).await.map(|_| ())
    }

    /// Takes a user with all that is its own out.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn leave(&self, id: u64) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, id);
        self.0
            .link
            .run(keys.slot, &call("remove", &keys.all()), Effect::WritesOnce)
            .await
            .map(|_| ())
    }

    /// Raises a user's standing to this, or leaves it if it is higher. False: there is no such
    /// user.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn raise(&self, id: u64, standing: u8) -> Result<bool> {
        self.rank(id, standing, "raise").await
    }

    /// Sets a user's standing, and takes back what a password gave. False: there is no such user.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn lower(&self, id: u64, standing: u8) -> Result<bool> {
        self.rank(id, standing, "set").await
    }

    async fn rank(&self, id: u64, standing: u8, how: &str) -> Result<bool> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let mut rank = call("rank", &[&keys.user]);
        rank.arg(standing).arg(how);
        self.done(keys.slot, &rank, Effect::WritesOnce).await.map(|done| done.is_some())
    }

    /// Notes the account whose password was given, with the user, or with the session where
    /// `session` names one.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn grant(&self, id: u64, session: Option<&str>, account: &str) -> Result<bool> {
        let keys = UserKeys::new(&self.0.namespace, id);
        let (slot, key) = match session {
            Some(session) => self.session_key(session),
            None => (keys.slot, keys.user),
        };
        let mut note = call("note", &[&key]);
        note.arg("grant").arg(account);
        self.done(slot, &note, Effect::WritesOnce).await.map(|done| done.is_some())
    }

    /// Counts a user among all, or no more.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn count_user(&self, id: u64, there: bool) -> Result<()> {
        let (slot, key) = self.users_key();
        let mut command = cmd(if there { "ZADD" } else { "ZREM" });
        command.arg(&key);
        if there {
            command.arg(0);
        }
        command.arg(format!("{id:016x}"));
        self.0.link.run(slot, &command, Effect::WritesLocally).await.map(|_| ())
    }

    /// The next users behind this one, in the order in which they came; some may have gone.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn users_behind(&self, after: u64, size: usize) -> Result<Vec<u64>> {
        let (slot, key) = self.users_key();
        let mut command = cmd("ZRANGEBYLEX");
        command.arg(&key).arg(format!("({after:016x}")).arg("+").arg("LIMIT").arg(0).arg(size);
        let Value::Array(ids) = self.0.link.run(slot, &command, Effect::Reads).await? else {
            return Err(reply::strange("users"));
        };
        let id = |id: &Value| text(id).and_then(|id| u64::from_str_radix(&id, 16).ok());
        Ok(ids.iter().filter_map(id).collect())
    }

    /// A secret that all servers on the engine have in common, made by the first.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn secret(&self) -> Result<[u8; 32]> {
        let key = format!("{}:{{schema}}:secret", self.0.namespace);
        let slot = slot_of("schema");
        let fresh: [u8; 32] = rand::random();
        let mut set = cmd("SET");
        set.arg(&key).arg(fresh.as_slice()).arg("NX");
        self.0.link.run(slot, &set, Effect::WritesOnce).await?;
        match self.0.link.run(slot, cmd("GET").arg(&key), Effect::Reads).await? {
            Value::BulkString(secret) => secret.try_into().map_err(|_| reply::strange("a secret")),
            _ => Err(reply::strange("a secret")),
        }
    }

    /// Does something and waits for it, on a thread that may wait: when the server starts.
    ///
    /// # Errors
    /// Those of the work; `INTERNAL` if the engine has ended.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        self.0.runtime.spawn(async move { drop(done.send(work.await)) });
        outcome.recv().unwrap_or_else(|_| Err(Error::internal("the engine has ended")))
    }

    /// Does what nobody waits for.
    pub fn in_background(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.0.runtime.spawn(async move {
            if let Err(error) = work.await {
                tracing::debug!(?error, "what was to be done beside the calls failed");
            }
        });
    }

    /// Runs a function; `None` if it refused.
    pub(super) async fn done(
        &self,
        slot: u16,
        command: &Cmd,
        effect: Effect,
    ) -> Result<Option<Parts>> {
        Ok(reply::outcome(self.0.link.run(slot, command, effect).await?)?.ok())
    }

    async fn fields(&self, slot: u16, key: &str) -> Result<HashMap<String, String>> {
        match self.0.link.run(slot, cmd("HGETALL").arg(key), Effect::Reads).await? {
            Value::Map(pairs) => Ok(pairs
                .iter()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect()),
            Value::Nil => Ok(HashMap::new()),
            Value::ServerError(error) => Err(Error::internal(error.to_string())),
            _ => Err(reply::strange("fields")),
        }
    }

    fn name_key(&self, folded: &str) -> (u16, String) {
        // In hexadecimal: a brace in a name would end the hash tag.
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

/// The keys of what is one user's own.
pub(super) struct UserKeys {
    pub(super) slot: u16,
    entries: String,
    order: String,
    expiries: String,
    changes: String,
    answers: String,
    foreign: String,
    pub(super) user: String,
    sessions: String,
    accesses: String,
    accessed: String,
    /// The rooms in which it is.
    pub(super) joined: String,
    /// The rooms that it made.
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
            sessions: key("sessions"),
            accesses: key("accesses"),
            accessed: key("accessed"),
            joined: key("joined"),
            made: key("made"),
        }
    }

    /// Those that an access of somebody else is put down under.
    pub(super) fn of_accesses(&self) -> [&str; 3] {
        [&self.accesses, &self.accessed, &self.user]
    }

    fn all(&self) -> [&str; 12] {
        [
            &self.entries,
            &self.order,
            &self.expiries,
            &self.changes,
            &self.answers,
            &self.foreign,
            &self.user,
            &self.sessions,
            &self.accesses,
            &self.accessed,
            &self.joined,
            &self.made,
        ]
    }
}
