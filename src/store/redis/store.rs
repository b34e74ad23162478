//! One user's store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::engine::Shared;
use super::foreign::Visit;
use super::library::call;
use super::link::Effect;
use super::people::UserKeys;
use super::reply::{self, Parts};
use super::request::{Kind, RememberedId, add_operation, one, range, record_bytes};
use super::{refusal, topology};
use crate::model::{
    Delete, Durability, Entry, Error, Key, ListedEntry, OperationRef, Operations, Outcome,
    Position, PutRef, Result, UnixMillis,
};
use crate::store::{Batched, Deleted, ListQuery, Listed, Once, Store, Usage, Watched, Written};

/// How far the servers' clocks may be apart from the engine's. Nearer to an expiry than this the
/// engine decides.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// How many rows and bytes one command lists at most: it holds up the node for a millisecond or a
/// few.
const LISTED_ROWS: usize = 1_000;
const LISTED_BYTES: usize = 4 << 20;
/// How many puts of a store go the longer way after one that had to: it costs a round trip to find
/// out.
const DETOURS: u32 = 16;
/// How many expired keys an operation takes out before it does its own work.
const PURGE: usize = 64;

/// One user's store in Redis. Clones are the same store.
#[derive(Clone)]
pub struct RedisStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) slot: u16,
    /// Entries, order, expiries, changes.
    keys: [String; 4],
    pub(super) answers: String,
    /// Answers to request ids of those who are not the owner.
    pub(super) foreign: String,
    /// That of the store if this operation makes it; empty: it must be there.
    epoch: Vec<u8>,
    /// How many puts are not tried as plain ones, since the last that was could not be.
    detours: AtomicU32,
}

/// Where a store stands, and how much is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) position: Position,
    /// When the next key expires; `None`: none does.
    pub(super) next: Option<UnixMillis>,
    /// Behind which revision changes are kept.
    pub(super) from: u64,
    pub(super) purged: u64,
    usage: Usage,
}

impl RedisStore {
    pub(super) fn new(shared: Arc<Shared>, id: u64, epoch: Vec<u8>) -> Self {
        let key = |name: &str| format!("{}:{{{id}}}:{name}", shared.namespace);
        let keys = [key("entries"), key("order"), key("expiries"), key("changes")];
        let (answers, foreign) = (key("answers"), key("foreign"));
        let (slot, detours) = (topology::slot_of(&id.to_string()), AtomicU32::new(0));
        Self(Arc::new(Inner { slot, id, keys, answers, foreign, epoch, shared, detours }))
    }

    /// What is in the store.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn usage(&self) -> Result<Usage> {
        Ok(self.0.stand(PURGE, false).await?.usage)
    }

    /// Takes out some of what has expired; tells how much that was.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn sweep(&self, most: usize) -> Result<u64> {
        Ok(self.0.stand(most, false).await?.purged)
    }

    /// Takes the store out of the engine.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn remove(&self) -> Result<()> {
        let [entries, order, expiries, changes] = &self.0.keys;
        let keys = [entries, order, expiries, changes, &self.0.answers, &self.0.foreign];
        let remove = call("remove", &keys.map(String::as_str));
        self.0.run(&remove, Effect::WritesOnce).await.map(|_| ())
    }

    /// Whether the engine must be asked, since its clock alone says what has expired.
    fn is_doubtful(&self, expire_time: UnixMillis) -> bool {
        let clock = &self.0.shared.clock;
        clock.is_manual() || expire_time <= clock.now().saturating_add(CLOCKS_APART)
    }

    async fn change<T>(
        &self,
        kind: Kind,
        operations: &Operations,
        once: Option<Once<'_, Self>>,
        read: impl Fn(Parts) -> Result<T>,
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
        let claim =
            once.caller.claim_for(&once.id, &once.fingerprint, kind, operations.len()).await?;
        self.write_claimed(kind, operations, (claim, once.fingerprint), None, &read).await
    }

    pub(super) async fn write<T>(
        &self,
        kind: Kind,
        operations: &Operations,
        id: Option<RememberedId<'_>>,
        visit: Option<&Visit>,
        read: &impl Fn(Parts) -> Result<T>,
    ) -> Result<T> {
        let this = &self.0;
        let function = match (visit, kind) {
            (Some(_), _) => "visit",
            (None, Kind::Delete) => "delete",
            (None, Kind::Put | Kind::Batch) => "write",
        };
        let visited = visit.map(|_| UserKeys::new(&this.shared.namespace, this.id));
        let mut keys: Vec<&str> = visited.iter().flat_map(UserKeys::of_accesses).collect();
        keys.extend(this.keys.iter().map(String::as_str).chain(id.as_ref().map(|id| id.key)));
        let mut command = call(function, &keys);
        if let Some(visit) = visit {
            command.arg(visit.what.as_slice()).arg(visit.role);
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
            Err(refused) => Err(refusal::read(refused, limits, kind == Kind::Batch)),
        }
    }

    pub(super) fn durability(&self) -> Durability {
        self.0.shared.durability()
    }

    /// A put as most are, with as little work for the engine as can be. `None`: something expires
    /// in the store or somebody watches it, and nothing was done.
    async fn put_plainly(&self, put: &Arc<Operations>) -> Result<Option<u64>> {
        let this = &self.0;
        let detours = this.detours.load(Ordering::Relaxed);
        if detours > 0 {
            this.detours.store(detours - 1, Ordering::Relaxed);
            return Ok(None);
        }
        match this.shared.link.put(this, put).await? {
            // The store is not there yet.
            Value::Int(0) => Ok(None),
            Value::Int(revision) => Ok(Some(u64::try_from(revision).map_err(Error::internal)?)),
            Value::Nil => {
                this.detours.store(DETOURS, Ordering::Relaxed);
                Ok(None)
            }
            refused => match reply::outcome(refused)? {
                Ok(_) => Err(reply::strange("a revision")),
                Err(refused) => Err(refusal::read(refused, &this.shared.limits, false)),
            },
        }
    }

    async fn get_batch(&self, operations: &Operations) -> Result<Option<Batched>> {
        let mut command = cmd("HMGET");
        command.arg(self.0.entries()).arg("");
        for operation in operations.iter() {
            let OperationRef::Get { key } = operation else { return Ok(None) };
            command.arg(key);
        }
        let Value::Array(values) = self.0.run(&command, Effect::Reads).await? else {
            return Err(reply::strange("values"));
        };
        let mut values = Parts::new(values);
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

/// How many gets a batch may have to be a plain read: however large the values, the reply is one
/// that may be given.
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
        self.change(Kind::Put, &operations, once, |mut parts| {
            Ok(Written { revision: parts.number()?, durability })
        })
        .await
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        let durability = self.durability();
        self.change(Kind::Delete, &one(delete.to_ref()), once, |mut parts| {
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
        self.change(Kind::Batch, &operations, once, |mut parts| {
            let revision = parts.number()?;
            parts.next();
            let outcome = |operation: OperationRef<'_>| match operation {
                OperationRef::Get { .. } => {
                    let value = parts
                        .next()
                        .ok_or_else(|| reply::strange("an outcome for each operation"))?;
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
        command.arg(u8::from(query.keys_only));
        let answer = this.run(&command, Effect::WritesLocally).await?;
        let mut parts = reply::outcome(answer)?
            .map_err(|refused| refusal::read(refused, &this.shared.limits, false))?;
        let sequence = parts.number()?;
        let position = Position { epoch: parts.epoch()?, sequence };
        let next = Some(parts.text()?).filter(|next| !next.is_empty()).map(Key::new).transpose()?;
        let mut rows = Vec::new();
        while let Some(Value::BulkString(key)) = parts.next() {
            let key = Key::new(String::from_utf8(key).map_err(Error::internal)?)?;
            let entry = reply::decode(parts.bytes()?)?;
            rows.push(ListedEntry {
                key,
                value: (!query.keys_only).then_some(entry.value),
                revision: entry.revision,
                expire_time: entry.expire_time,
            });
        }
        Ok(Listed { rows, next, position })
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        super::tail::watch(&self.0, after).await
    }

    async fn position(&self) -> Result<Position> {
        Ok(self.0.stand(PURGE, false).await?.position)
    }
}

impl Inner {
    pub(super) async fn run(&self, command: &Cmd, effect: Effect) -> Result<Value> {
        self.shared.link.run(self.slot, command, effect).await
    }

    /// What a plain put touches.
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

    /// Takes out some of what has expired, and looks where the store stands. `watched` keeps its
    /// changes for those who watch.
    pub(super) async fn stand(&self, purge: usize, watched: bool) -> Result<Stand> {
        let [entries, order, expiries, changes] = &self.keys;
        let mut command = call("stand", &[entries, order, expiries, changes, &self.answers]);
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
        Ok(Stand { position, next, from, purged, usage })
    }
}
