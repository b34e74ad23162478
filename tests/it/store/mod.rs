//! The store engines, through `trait Store`.
//!
//! `cargo test --features seeded-bugs --test it seeded` shows that the checkers find bugs; with that feature, run no other test beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cases;
mod checker;
mod checks;
mod linearizability;
mod memory;
mod model;
mod request_ids;
#[cfg(feature = "seeded-bugs")]
mod seeded;

use std::future::Future;

use futures_util::FutureExt;

use kvrpc::model::{Delete, Entry, Key, Prefix, Reason, RequestId, Result, Value};
use kvrpc::store::{
    Batched, Clock, Deleted, ENTRY_OVERHEAD_BYTES, Limits, ListQuery, MemoryEngine, MemoryStore, Once, Row, Step,
    Store, Write, Written,
};

/// Where the manual clocks of the tests begin.
const START: u64 = 1_000_000;

const NO_LIMITS: Limits =
    Limits { max_keys_per_user: u64::MAX, max_bytes_per_user: u64::MAX, max_bytes_total: u64::MAX };

/// An engine with a clock that stands still.
fn engine(limits: Limits) -> (MemoryEngine, Clock) {
    let clock = Clock::manual(START);
    (MemoryEngine::new(clock.clone(), limits), clock)
}

/// The memory engine's futures are ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory engine never waits")
}

fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

fn text(text: &str) -> Value {
    Value::text(text).unwrap()
}

fn write(to: &str, value: &str) -> Write {
    Write { key: key(to), value: text(value), expire_time: None, refuse_passed: false, if_revision: None }
}

fn write_until(to: &str, value: &str, expire_time: u64) -> Write {
    Write { expire_time: Some(expire_time), ..write(to, value) }
}

fn write_if(to: &str, value: &str, revision: u64) -> Write {
    Write { if_revision: Some(revision), ..write(to, value) }
}

fn removal(of: &str) -> Delete {
    Delete { key: key(of), if_revision: None }
}

fn get(store: &MemoryStore, of: &str) -> Option<Entry> {
    now(store.get(&key(of))).unwrap()
}

fn get_text(store: &MemoryStore, of: &str) -> Option<String> {
    get(store, of).map(|entry| entry.value.as_text().unwrap().to_owned())
}

fn put(store: &MemoryStore, write: Write) -> Result<u64> {
    now(store.put(write, None)).map(|written| written.revision)
}

fn delete(store: &MemoryStore, delete: Delete) -> Result<(bool, u64)> {
    now(store.delete(delete, None)).map(|deleted| (deleted.deleted, deleted.revision))
}

fn batch(store: &MemoryStore, steps: Vec<Step>) -> Result<Batched> {
    now(store.batch(steps, None))
}

fn once<'a>(caller: &'a MemoryStore, id: &str, payload: u8) -> Option<Once<'a, MemoryStore>> {
    let id = RequestId::new(id.to_owned()).unwrap().unwrap();
    Some(Once { caller, id, fingerprint: [payload; 16] })
}

fn put_once(store: &MemoryStore, write: Write, once: Option<Once<'_, MemoryStore>>) -> Result<Written> {
    now(store.put(write, once))
}

fn delete_once(store: &MemoryStore, delete: Delete, once: Option<Once<'_, MemoryStore>>) -> Result<Deleted> {
    now(store.delete(delete, once))
}

fn revision(store: &MemoryStore) -> u64 {
    now(store.position()).unwrap().sequence
}

/// Why it failed.
fn reason<T: std::fmt::Debug>(result: Result<T>) -> Reason {
    result.unwrap_err().reason()
}

/// What a key counts in quotas.
fn entry_bytes(key: &str, value: &str) -> u64 {
    (key.len() + value.len()) as u64 + u64::from(ENTRY_OVERHEAD_BYTES)
}

/// All rows with the prefix, in pages of at most so many rows and bytes.
fn list(store: &MemoryStore, prefix: &str, max_rows: usize, max_bytes: usize) -> Vec<Vec<Row>> {
    let prefix = Prefix::new(prefix).unwrap();
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery { prefix: &prefix, after: after.as_ref(), max_rows, max_bytes, keys_only: false };
        let listed = now(store.list(query)).unwrap();
        pages.push(listed.rows);
        after = listed.next;
        if after.is_none() {
            return pages;
        }
    }
}
