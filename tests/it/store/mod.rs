//! The store engines, through `trait Store`.
//!
//! `seeded` shows that the checkers find bugs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod buggy;
mod cases;
mod checker;
mod checks;
mod linearizability;
mod memory;
mod model;
mod redis;
mod request_ids;
mod rooms;
mod seeded;
mod starts;
mod together;
mod watching;

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;

use kvrpc::model::{
    Delete, Entry, Key, ListedEntry, OperationRef, Operations, Prefix, PutRef, Reason, RequestId,
    Result, UnixMillis, Value,
};
use kvrpc::store::{
    Batched, Clock, Deleted, ENTRY_OVERHEAD_BYTES, ListParts, ListQuery, MemoryEngine, MemoryStore,
    Once, Store, StoreLimits, Usage, Written,
};

/// Start of the tests' manual clocks, in Unix milliseconds.
const START: u64 = 1_000_000;

const NO_LIMITS: StoreLimits = StoreLimits {
    max_keys_per_user: u64::MAX,
    max_bytes_per_user: u64::MAX,
    max_bytes_total: u64::MAX,
};

/// An engine under test; the same properties hold for all of them.
trait Engine: Sized + Send + Sync {
    /// Type of its stores.
    type Own: Tested;
    /// True if it counts the total of all stores, and refuses more than `max_bytes_total`.
    const COUNTS_ALL: bool;
    /// Number of rounds of races, and of random cases; lower for slower engines.
    const ROUNDS: u64;
    const CASES: u32;

    /// Creates an engine with a clock that stands still.
    fn make(limits: StoreLimits) -> (Self, Clock);
    fn open(&self) -> Self::Own;
    /// Returns the total of all stores.
    fn usage(&self) -> Usage;
    /// Removes some expired keys; returns true if there are more.
    fn sweep(&self) -> bool;
    /// Releases the stores.
    fn close<const N: usize>(&self, stores: [Self::Own; N]);
}

/// A store under test.
trait Tested: Store + Clone + Sync + 'static {
    /// Runs an operation to its end.
    fn now<T>(future: impl Future<Output = T>) -> T;
    /// Runs an operation that may have to wait for a change.
    fn waiting<T>(future: impl Future<Output = T>) -> T {
        redis::on_runtime(future)
    }
    fn usage(&self) -> Usage;
}

impl Engine for MemoryEngine {
    type Own = MemoryStore;
    const COUNTS_ALL: bool = true;
    const ROUNDS: u64 = 40;
    const CASES: u32 = 400;

    fn make(limits: StoreLimits) -> (Self, Clock) {
        let clock = Clock::manual(UnixMillis::new(START));
        (Self::new(clock.clone(), limits), clock)
    }

    fn open(&self) -> MemoryStore {
        Self::open(self)
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    fn sweep(&self) -> bool {
        Self::sweep(self)
    }

    fn close<const N: usize>(&self, stores: [MemoryStore; N]) {
        drop(stores);
    }
}

impl Tested for MemoryStore {
    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("the memory engine never waits")
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }
}

/// Makes a test for each engine of each check that takes the engine's type.
macro_rules! for_each_engine {
    ($($check:ident)+) => {
        mod on_memory {
            $(#[test] fn $check() { super::$check::<kvrpc::store::MemoryEngine>(); })+
        }
        mod on_redis {
            use super::super::redis::Single;
            $(
                #[test]
                #[ignore = "needs redis-server"]
                fn $check() { super::$check::<Single>(); }
            )+
        }
        mod on_redis_cluster {
            use super::super::redis::Clustered;
            $(
                #[test]
                #[ignore = "needs redis-server"]
                fn $check() { super::$check::<Clustered>(); }
            )+
        }
    };
}
use for_each_engine;

fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

fn text(text: &str) -> Value {
    Value::text(text).unwrap()
}

/// A put with a resolved expiry, which keeps its key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    key: Key,
    value: Value,
    expire_time: Option<UnixMillis>,
    if_revision: Option<u64>,
}

impl Write {
    fn to_ref(&self) -> PutRef<'_> {
        PutRef {
            key: self.key.as_str().as_bytes(),
            value: self.value.as_bytes(),
            text: self.value.is_text(),
            expiry: None,
            expire_time: self.expire_time,
            if_revision: self.if_revision,
        }
    }
}

fn write(to: &str, value: &str) -> Write {
    Write { key: key(to), value: text(value), expire_time: None, if_revision: None }
}

/// A number of milliseconds.
fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn write_until(to: &str, value: &str, expire_time: u64) -> Write {
    Write { expire_time: Some(UnixMillis::new(expire_time)), ..write(to, value) }
}

fn write_if(to: &str, value: &str, revision: u64) -> Write {
    Write { if_revision: Some(revision), ..write(to, value) }
}

fn removal(of: &str) -> Delete {
    Delete { key: key(of), if_revision: None, request_id: None }
}

fn get<S: Tested>(store: &S, of: &str) -> Option<Entry> {
    S::now(store.get(&key(of))).unwrap()
}

fn get_text<S: Tested>(store: &S, of: &str) -> Option<String> {
    get(store, of).map(|entry| entry.value.as_text().unwrap().to_owned())
}

fn put<S: Tested>(store: &S, write: Write) -> Result<u64> {
    S::now(store.put(write.to_ref(), None)).map(|written| written.revision)
}

fn delete<S: Tested>(store: &S, delete: Delete) -> Result<(bool, u64)> {
    S::now(store.delete(delete, None)).map(|deleted| (deleted.deleted, deleted.revision))
}

/// An operation of a batch, with an absolute expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Get { key: Key },
    Put(Write),
    Delete(Delete),
}

impl FromIterator<Step> for Operations {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut this = Self::default();
        for step in steps {
            this.push(match &step {
                Step::Get { key } => OperationRef::Get { key: key.as_str().as_bytes() },
                Step::Put(write) => OperationRef::Put(write.to_ref()),
                Step::Delete(delete) => delete.to_ref(),
            });
        }
        this
    }
}

fn batch<S: Tested>(store: &S, steps: Vec<Step>) -> Result<Batched> {
    S::now(store.batch(steps.into_iter().collect(), None))
}

fn once<'a, S>(caller: &'a S, id: &str, payload: u8) -> Option<Once<'a, S>> {
    let id = RequestId::new(id.to_owned()).unwrap().unwrap();
    Some(Once { caller, id, fingerprint: [payload; 16] })
}

fn put_once<S: Tested>(store: &S, write: Write, once: Option<Once<'_, S>>) -> Result<Written> {
    S::now(store.put(write.to_ref(), once))
}

fn delete_once<S: Tested>(store: &S, delete: Delete, once: Option<Once<'_, S>>) -> Result<Deleted> {
    S::now(store.delete(delete, once))
}

fn revision<S: Tested>(store: &S) -> u64 {
    S::now(store.position()).unwrap().sequence
}

/// Returns the reason of a failure.
fn reason<T: std::fmt::Debug>(result: Result<T>) -> Reason {
    result.unwrap_err().reason()
}

/// Returns the bytes that a key counts in quotas.
fn entry_bytes(key: &str, value: &str) -> u64 {
    (key.len() + value.len()) as u64 + u64::from(ENTRY_OVERHEAD_BYTES)
}

/// Returns all rows with the prefix, in pages of at most `max_rows` rows and `max_bytes` bytes.
fn list<S: Tested>(
    store: &S,
    prefix: &str,
    max_rows: usize,
    max_bytes: usize,
) -> Vec<Vec<ListedEntry>> {
    let prefix = Prefix::new(prefix).unwrap();
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery {
            prefix: &prefix,
            after: after.as_ref(),
            max_rows,
            max_bytes,
            parts: ListParts::Entries,
        };
        let listed = S::now(store.list(query)).unwrap();
        pages.push(listed.rows);
        after = listed.next;
        if after.is_none() {
            return pages;
        }
    }
}

/// Returns a listing of one row, for the position that comes with it.
pub(crate) fn one_row(prefix: &Prefix) -> ListQuery<'_> {
    ListQuery { prefix, after: None, max_rows: 1, max_bytes: 1, parts: ListParts::Headers }
}
