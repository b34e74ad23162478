//! One user's store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::engine::RedisShared;
use super::foreign::RecordedAccess;
use super::library::call;
use super::reply::{self, ReplyParts};
use super::request::{RememberedId, WriteKind, add_operation, one, range, record_bytes};
use super::router::Effect;
use super::users::UserKeys;
use super::{refusal, topology};
use crate::model::{
    Delete, Durability, Entry, Error, Key, ListedEntry, OperationRef, Operations, Outcome,
    Position, PutRef, Result, UnixMillis,
};
use crate::store::{
    Batched, Deleted, ListParts, ListQuery, Listed, Once, Store, Usage, Watched, Written,
};

/// Maximum difference between the servers' clocks and Redis's. Closer to an expiry than this, Redis
/// decides.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Maximum number of rows and bytes that one command lists: it blocks the node for a few
/// milliseconds.
const LISTED_ROWS: usize = 1_000;
const LISTED_BYTES: usize = 4 << 20;
/// Number of puts of a store that are not tried as plain ones, after one that could not be: such a
/// try costs a round trip.
const DETOURS: u32 = 16;
/// Maximum number of expired keys that an operation removes before its own work.
const EXPIRED_PER_OPERATION: usize = 64;

/// One user's store, in Redis. Clones are the same store.
#[derive(Clone)]
pub struct RedisStore(pub(super) Arc<RedisStoreInner>);

pub(super) struct RedisStoreInner {
    pub(super) shared: Arc<RedisShared>,
    pub(super) id: u64,
    pub(super) slot: u16,
    /// Keys of entries, order, expiries and changes.
    keys: [String; 4],
    /// Key of the replies to the owner's request ids.
    pub(super) answers: String,
    /// Key of the replies to other users' request ids.
    pub(super) foreign: String,
    /// Epoch for a store that an operation makes; empty: the store must exist.
    epoch: Vec<u8>,
    /// Number of puts that are still not tried as plain ones.
    detours: AtomicU32,
}

/// Position and contents of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreStatus {
    pub(super) position: Position,
    /// Earliest expiry; `None`: nothing expires.
    pub(super) next: Option<UnixMillis>,
    /// Revision after which changes are kept.
    pub(super) from: u64,
    /// Number of expired keys that were removed.
    pub(super) purged: u64,
    usage: Usage,
}

impl RedisStore {
    pub(super) fn new(shared: Arc<RedisShared>, id: u64, epoch: Vec<u8>) -> Self {
        let key = |name: &str| format!("{}:{{{id}}}:{name}", shared.namespace);
        let keys = [key("entries"), key("order"), key("expiries"), key("changes")];
        let (answers, foreign) = (key("answers"), key("foreign"));
        let (slot, detours) = (topology::slot_of(&id.to_string()), AtomicU32::new(0));
        Self(Arc::new(RedisStoreInner { slot, id, keys, answers, foreign, epoch, shared, detours }))
    }

    /// Returns what is in the store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `SESSION_EXPIRED`.
    pub async fn usage(&self) -> Result<Usage> {
        Ok(self.0.status(EXPIRED_PER_OPERATION, false).await?.usage)
    }

    /// Removes at most `most` expired keys. Returns their number.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    pub async fn sweep(&self, most: usize) -> Result<u64> {
        Ok(self.0.status(most, false).await?.purged)
    }

    /// Removes the store from Redis.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may have been removed.
    pub async fn remove(&self) -> Result<()> {
        let [entries, order, expiries, changes] = &self.0.keys;
        let keys = [entries, order, expiries, changes, &self.0.answers, &self.0.foreign];
        let remove = call("remove", &keys.map(String::as_str));
        self.0.run(&remove, Effect::WritesOnce).await.map(|_| ())
    }

    /// Returns true if an expiry is so close that only Redis's clock can decide.
    fn is_doubtful(&self, expire_time: UnixMillis) -> bool {
        let clock = &self.0.shared.clock;
        clock.is_manual() || expire_time <= clock.now().saturating_add(CLOCKS_APART)
    }

    /// Runs a write, at most once if `once` is given.
    async fn change<T>(
        &self,
        kind: WriteKind,
        operations: &Operations,
        once: Option<Once<'_, Self>>,
        read: impl Fn(ReplyParts) -> Result<T>,
    ) -> Result<T> {
        let Some(once) = once else { return self.write(kind, operations, None, None, &read).await };
        if once.caller.0.id == self.0.id {
            let id = RememberedId {
                key: &self.0.answers,
                id: once.id.as_str(),
                fingerprint: &once.fingerprint,
                record: record_bytes(once.id.as_str(), kind, operations.len()),
            };
            return self.write(kind, operations, Some(id), None, &read).await;
        }
        let reservation =
            once.caller.reserve_for(&once.id, &once.fingerprint, kind, operations.len()).await?;
        self.write_reserved(kind, operations, (reservation, once.fingerprint), None, &read).await
    }

    /// Runs a write, with the reply remembered for `id`, and put on record as an `access` by
    /// another user than the owner.
    pub(super) async fn write<T>(
        &self,
        kind: WriteKind,
        operations: &Operations,
        id: Option<RememberedId<'_>>,
        access: Option<&RecordedAccess>,
        read: &impl Fn(ReplyParts) -> Result<T>,
    ) -> Result<T> {
        let this = &self.0;
        let function = match (access, kind) {
            (Some(_), _) => "write_other",
            (None, WriteKind::Delete) => "delete",
            (None, WriteKind::Put | WriteKind::Batch) => "write",
        };
        let access_keys = access.map(|_| UserKeys::new(&this.shared.namespace, this.id));
        let mut keys: Vec<&str> = access_keys.iter().flat_map(UserKeys::of_accesses).collect();
        keys.extend(this.keys.iter().map(String::as_str).chain(id.as_ref().map(|id| id.key)));
        let mut command = call(function, &keys);
        if let Some(access) = access {
            command.arg(access.what.as_slice()).arg(access.role);
        }
        let limits = &this.shared.limits;
        command.arg(this.shared.now()).arg(this.epoch.as_slice());
        command.arg(limits.max_keys_per_user).arg(limits.max_bytes_per_user).arg(kind.letter());
        if let Some(id) = &id {
            command.arg(id.id).arg(id.fingerprint.as_slice()).arg(id.record);
        }
        operations.iter().for_each(|operation| add_operation(&mut command, operation));
        let effect = if id.is_some() { Effect::WritesOnce } else { Effect::Writes };
        match reply::outcome(this.run(&command, effect).await?)? {
            Ok(parts) => read(parts),
            Err(refused) => Err(refusal::read(refused, limits, kind == WriteKind::Batch)),
        }
    }

    pub(super) fn durability(&self) -> Durability {
        self.0.shared.durability()
    }

    /// Tries a put without an expiry or a request id with the least work for Redis. `None`:
    /// something expires in the store or it is watched, and nothing was done.
    async fn put_plainly(&self, put: &Arc<Operations>) -> Result<Option<u64>> {
        let this = &self.0;
        let detours = this.detours.load(Ordering::Relaxed);
        if detours > 0 {
            this.detours.store(detours - 1, Ordering::Relaxed);
            return Ok(None);
        }
        match this.shared.router.put(this, put).await? {
            // The store does not exist yet.
            Value::Int(0) => Ok(None),
            Value::Int(revision) => Ok(Some(u64::try_from(revision).map_err(Error::internal)?)),
            Value::Nil => {
                this.detours.store(DETOURS, Ordering::Relaxed);
                Ok(None)
            }
            refused => match reply::outcome(refused)? {
                Ok(_) => Err(reply::unexpected("a revision")),
                Err(refused) => Err(refusal::read(refused, &this.shared.limits, false)),
            },
        }
    }

    /// Reads a batch of gets with one HMGET. `None`: it has other operations, or Redis's clock must
    /// decide about an expiry; nothing was done.
    async fn get_batch(&self, operations: &Operations) -> Result<Option<Batched>> {
        let mut command = cmd("HMGET");
        command.arg(self.0.entries()).arg("");
        for operation in operations.iter() {
            let OperationRef::Get { key } = operation else { return Ok(None) };
            command.arg(key);
        }
        let Value::Array(values) = self.0.run(&command, Effect::Reads).await? else {
            return Err(reply::unexpected("values"));
        };
        let mut values = ReplyParts::new(values);
        let Ok(record) = values.bytes() else { return Ok(None) };
        let Some((revision, next)) = reply::revision_and_next(&record) else { return Ok(None) };
        if next.is_some_and(|next| self.is_doubtful(next)) {
            return Ok(None);
        }
        let mut outcomes = Vec::with_capacity(operations.len());
        while let Some(value) = values.next() {
            outcomes.push(Outcome::Get(reply::entry(value)?));
        }
        Ok(Some(Batched { outcomes, revision, durability: self.durability() }))
    }
}

/// Maximum number of gets in a batch that is read plainly: however large the values, the reply is
/// not too long.
const PLAIN_GETS: usize = 3;

impl Store for RedisStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let mut command = Cmd::with_capacity(3, 96);
        command.arg("HGET").arg(self.0.entries()).arg(key.as_str());
        let found = reply::entry(self.0.run(&command, Effect::Reads).await?)?;
        match found.as_ref().and_then(|entry| entry.expire_time) {
            Some(time) if self.is_doubtful(time) => {
                let mut command = call("read", &[self.0.entries()]);
                command.arg(self.0.shared.now()).arg(key.as_str());
                reply::entry(self.0.run(&command, Effect::Reads).await?)
            }
            Some(_) | None => Ok(found),
        }
    }

    async fn put(&self, put: PutRef<'_>, once: Option<Once<'_, Self>>) -> Result<Written> {
        let durability = self.durability();
        let operations = Arc::new(one(OperationRef::Put(put)));
        if once.is_none()
            && put.expire_time.is_none()
            && let Some(revision) = self.put_plainly(&operations).await?
        {
            return Ok(Written { revision, durability });
        }
        self.change(WriteKind::Put, &operations, once, |mut parts| {
            Ok(Written { revision: parts.number()?, durability })
        })
        .await
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        let durability = self.durability();
        self.change(WriteKind::Delete, &one(delete.to_ref()), once, |mut parts| {
            let revision = parts.number()?;
            parts.next();
            Ok(Deleted { deleted: parts.number()? == 1, revision, durability })
        })
        .await
    }

    async fn batch(&self, operations: Operations, once: Option<Once<'_, Self>>) -> Result<Batched> {
        if once.is_none()
            && operations.len() <= PLAIN_GETS
            && let Some(read) = self.get_batch(&operations).await?
        {
            return Ok(read);
        }
        let durability = self.durability();
        self.change(WriteKind::Batch, &operations, once, |mut parts| {
            let revision = parts.number()?;
            parts.next();
            let outcome = |operation: OperationRef<'_>| match operation {
                OperationRef::Get { .. } => {
                    let value = parts
                        .next()
                        .ok_or_else(|| reply::unexpected("an outcome for each operation"))?;
                    reply::entry(value).map(Outcome::Get)
                }
                OperationRef::Put(_) => parts.number().map(|revision| Outcome::Put { revision }),
                OperationRef::Delete { .. } => {
                    parts.number().map(|deleted| Outcome::Delete { deleted: deleted == 1 })
                }
            };
            let outcomes = operations.iter().map(outcome).collect::<Result<_>>()?;
            Ok(Batched { outcomes, revision, durability })
        })
        .await
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        let this = &self.0;
        let (first, last) = range(query.prefix, query.after);
        let mut command = call("list", &this.keys.each_ref().map(String::as_str));
        command.arg(this.shared.now()).arg(this.epoch.as_slice()).arg(first).arg(last);
        command.arg(query.max_rows.min(LISTED_ROWS)).arg(query.max_bytes.min(LISTED_BYTES));
        command.arg(match query.parts {
            ListParts::Keys => "names",
            ListParts::Headers => "headers",
            ListParts::Entries => "entries",
        });
        let answer = this.run(&command, Effect::WritesLocally).await?;
        let mut parts = reply::outcome(answer)?
            .map_err(|refused| refusal::read(refused, &this.shared.limits, false))?;
        let sequence = parts.number()?;
        let position = Position { epoch: parts.epoch()?, sequence };
        let next = Some(parts.text()?).filter(|next| !next.is_empty()).map(Key::new).transpose()?;
        let mut rows = Vec::new();
        while let Some(Value::BulkString(key)) = parts.next() {
            let key = Key::new(String::from_utf8(key).map_err(Error::internal)?)?;
            if query.parts == ListParts::Keys {
                rows.push(ListedEntry { key, value: None, revision: 0, expire_time: None });
                continue;
            }
            let entry = reply::decode(parts.bytes()?)?;
            rows.push(ListedEntry {
                key,
                value: (query.parts == ListParts::Entries).then_some(entry.value),
                revision: entry.revision,
                expire_time: entry.expire_time,
            });
        }
        Ok(Listed { rows, next, position })
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        super::change_follower::watch(&self.0, after).await
    }

    async fn position(&self) -> Result<Position> {
        Ok(self.0.status(EXPIRED_PER_OPERATION, false).await?.position)
    }
}

impl RedisStoreInner {
    pub(super) async fn run(&self, command: &Cmd, effect: Effect) -> Result<Value> {
        self.shared.router.run(self.slot, command, effect).await
    }

    /// Keys of a plain put.
    pub(super) fn plain_keys(&self) -> [&str; 2] {
        let [entries, order, ..] = &self.keys;
        [entries, order]
    }

    fn entries(&self) -> &str {
        let [entries, ..] = &self.keys;
        entries
    }

    pub(super) fn changes(&self) -> &str {
        let [.., changes] = &self.keys;
        changes
    }

    /// Removes at most `purge` expired keys, and returns the store's status. `watched` keeps its
    /// changes for watches.
    pub(super) async fn status(&self, purge: usize, watched: bool) -> Result<StoreStatus> {
        let [entries, order, expiries, changes] = &self.keys;
        let mut command = call("status", &[entries, order, expiries, changes, &self.answers]);
        command.arg(self.shared.now()).arg(self.epoch.as_slice()).arg(purge).arg(u8::from(watched));
        let answer = self.run(&command, Effect::WritesLocally).await?;
        let mut parts = reply::outcome(answer)?
            .map_err(|refused| refusal::read(refused, &self.shared.limits, false))?;
        let sequence = parts.number()?;
        let position = Position { epoch: parts.epoch()?, sequence };
        let next = reply::time(parts.number()?);
        let (from, purged) = (parts.number()?, parts.number()?);
        let usage = Usage {
            keys: parts.number()?,
            bytes: parts.number()?,
            request_id_bytes: parts.number()?,
        };
        Ok(StoreStatus { position, next, from, purged, usage })
    }
}
