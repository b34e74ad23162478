//! The memory engine with a bug, for the checkers to find.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use kvrpc::model::{Delete, Entry, Key, OperationRef, Operations, Position, PutRef, Result, Value};
use kvrpc::store::{
    Batched, Clock, Deleted, ListQuery, Listed, MemoryEngine, MemoryStore, Once, Store,
    StoreLimits, Usage, Watched, Written,
};

use super::{Engine, Tested, entry_bytes};

/// A bug that the engine has while it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Bug {
    /// A put over a value of the same length leaves the old one.
    StaleRead = 1,
    /// A conditional put that succeeded is not there.
    LostCas,
    /// The condition of a put is checked before the lock under which it writes.
    TwoCasWinners,
    /// A get returns a key that has expired.
    ExpiredValueBack,
    /// An overwrite does not give the old value's bytes back.
    QuotaDriftOnOverwrite,
    /// A batch that fails leaves the operations before the failing one.
    BatchHalfApplied,
    /// A retry is done as if it were the first.
    RequestIdAppliedTwice,
    /// Some changes have the revision of the change before.
    RevisionUsedTwice,
    /// The key after a page's last is in no page.
    KeySkippedInListing,
    /// Puts go to the store in which another user wrote last.
    WriteIntoAnotherStore,
}

impl Bug {
    /// Every bug.
    pub(super) const ALL: [Self; 10] = [
        Self::StaleRead,
        Self::LostCas,
        Self::TwoCasWinners,
        Self::ExpiredValueBack,
        Self::QuotaDriftOnOverwrite,
        Self::BatchHalfApplied,
        Self::RequestIdAppliedTwice,
        Self::RevisionUsedTwice,
        Self::KeySkippedInListing,
        Self::WriteIntoAnotherStore,
    ];
}

static ON: AtomicU8 = AtomicU8::new(0);

/// Switches one bug on for all stores of [`BuggyEngine`]; `None`: all are off.
pub(super) fn switch(bug: Option<Bug>) {
    ON.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

fn on(bug: Bug) -> bool {
    ON.load(Ordering::Relaxed) == bug as u8
}

/// The memory engine, with the bug that is switched on.
pub(super) struct BuggyEngine {
    engine: MemoryEngine,
    clock: Clock,
    last: Arc<Mutex<Option<MemoryStore>>>,
}

/// A store of [`BuggyEngine`].
#[derive(Clone)]
pub(super) struct BuggyStore {
    store: MemoryStore,
    clock: Clock,
    /// Store of the engine that was written to last.
    last: Arc<Mutex<Option<MemoryStore>>>,
    /// Entries with an expiry that were written.
    expiring: Arc<Mutex<HashMap<Key, Entry>>>,
    /// Bytes that usage counts too much.
    drift: Arc<AtomicU64>,
    conditional_puts: Arc<AtomicU64>,
}

impl Engine for BuggyEngine {
    type Own = BuggyStore;
    const COUNTS_ALL: bool = <MemoryEngine as Engine>::COUNTS_ALL;
    const ROUNDS: u64 = <MemoryEngine as Engine>::ROUNDS;
    const CASES: u32 = <MemoryEngine as Engine>::CASES;

    fn make(limits: StoreLimits) -> (Self, Clock) {
        let (engine, clock) = <MemoryEngine as Engine>::make(limits);
        (Self { engine, clock: clock.clone(), last: Arc::default() }, clock)
    }

    fn open(&self) -> BuggyStore {
        BuggyStore {
            store: self.engine.open(),
            clock: self.clock.clone(),
            last: Arc::clone(&self.last),
            expiring: Arc::default(),
            drift: Arc::default(),
            conditional_puts: Arc::default(),
        }
    }

    fn usage(&self) -> Usage {
        self.engine.usage()
    }

    fn sweep(&self) -> bool {
        self.engine.sweep()
    }

    fn close<const N: usize>(&self, stores: [BuggyStore; N]) {
        self.last.lock().take();
        drop(stores);
    }
}

impl Tested for BuggyStore {
    fn now<T>(future: impl Future<Output = T>) -> T {
        MemoryStore::now(future)
    }

    fn usage(&self) -> Usage {
        let usage = self.store.usage();
        Usage { bytes: usage.bytes + self.drift.load(Ordering::SeqCst), ..usage }
    }
}

impl BuggyStore {
    /// Store into which a put goes.
    fn target(&self) -> MemoryStore {
        if !on(Bug::WriteIntoAnotherStore) {
            return self.store.clone();
        }
        self.last.lock().replace(self.store.clone()).unwrap_or_else(|| self.store.clone())
    }

    /// Changes a put by the bugs that concern its value and its condition.
    fn bend<'a>(&self, put: PutRef<'a>, old: Option<&'a Entry>) -> PutRef<'a> {
        let old_value =
            |old: &'a Value| PutRef { value: old.as_bytes(), text: old.is_text(), ..put };
        let is_conditional = put.if_revision.is_some();
        match old {
            Some(old) if on(Bug::StaleRead) && old.value.as_bytes().len() == put.value.len() => {
                old_value(&old.value)
            }
            Some(old) if on(Bug::LostCas) && is_conditional && self.loses() => {
                old_value(&old.value)
            }
            _ if on(Bug::TwoCasWinners)
                && put.if_revision == Some(old.map_or(0, |old| old.revision)) =>
            {
                std::thread::yield_now();
                PutRef { if_revision: None, ..put }
            }
            _ => put,
        }
    }

    fn loses(&self) -> bool {
        self.conditional_puts.fetch_add(1, Ordering::Relaxed) % 4 == 3
    }
}

impl Store for BuggyStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let found = self.store.get(key).await?;
        if found.is_none() && on(Bug::ExpiredValueBack) {
            let now = self.clock.now();
            let written = self.expiring.lock().get(key).cloned();
            return Ok(written.filter(|entry| entry.expire_time.is_some_and(|time| time <= now)));
        }
        Ok(found)
    }

    async fn put(&self, put: PutRef<'_>, once: Option<Once<'_, Self>>) -> Result<Written> {
        let target = self.target();
        let once = once.filter(|_| !on(Bug::RequestIdAppliedTwice)).map(of_memory);
        let key = Key::new(std::str::from_utf8(put.key).unwrap()).unwrap();
        let old = target.get(&key).await?;
        let put = self.bend(put, old.as_ref());
        let mut written = target.put(put, once).await?;
        match old {
            None if on(Bug::LostCas) && put.if_revision.is_some() && self.loses() => {
                target.delete(Delete { key, if_revision: None, request_id: None }, None).await?;
            }
            Some(old) if on(Bug::QuotaDriftOnOverwrite) => {
                let value_len = old.value.as_bytes().len();
                let bytes = entry_bytes(key.as_str(), "") + value_len as u64;
                self.drift.fetch_add(bytes, Ordering::SeqCst);
            }
            _ if on(Bug::RevisionUsedTwice) && written.revision % 3 == 2 => written.revision -= 1,
            _ if on(Bug::ExpiredValueBack) && put.expire_time.is_some() => {
                let value = Value::blob(put.value.to_vec())?;
                let revision = written.revision;
                let entry = Entry { value, revision, expire_time: put.expire_time };
                self.expiring.lock().insert(key, entry);
            }
            _ => {}
        }
        Ok(written)
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        self.store.delete(delete, once.map(of_memory)).await
    }

    async fn batch(&self, operations: Operations, once: Option<Once<'_, Self>>) -> Result<Batched> {
        let done = self.store.batch(operations.clone(), once.map(of_memory)).await;
        if done.is_err() && on(Bug::BatchHalfApplied) {
            for operation in operations.iter() {
                let applied = match operation {
                    OperationRef::Get { .. } => Ok(()),
                    OperationRef::Put(put) => self.store.put(put, None).await.map(drop),
                    OperationRef::Delete { key, if_revision } => {
                        let key = Key::new(std::str::from_utf8(key).unwrap()).unwrap();
                        self.store
                            .delete(Delete { key, if_revision, request_id: None }, None)
                            .await
                            .map(drop)
                    }
                };
                if applied.is_err() {
                    break;
                }
            }
        }
        done
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        let mut listed = self.store.list(query).await?;
        if on(Bug::KeySkippedInListing)
            && let Some(next) = &listed.next
        {
            let skipped = ListQuery { after: Some(next), max_rows: 1, ..query };
            if let Some(row) = self.store.list(skipped).await?.rows.into_iter().next() {
                listed.next = Some(row.key);
            }
        }
        Ok(listed)
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        self.store.watch(after).await
    }

    async fn position(&self) -> Result<Position> {
        self.store.position().await
    }
}

fn of_memory(once: Once<'_, BuggyStore>) -> Once<'_, MemoryStore> {
    Once { caller: &once.caller.store, id: once.id, fingerprint: once.fingerprint }
}
