//! Where the stores are kept. Knows `model` alone.

use std::future::Future;
use std::time::Duration;

mod backend;
mod clock;
pub mod feed;
pub mod memory;
pub mod redis;
pub mod seeded;

pub use backend::{Backend, Engine};
pub use clock::Clock;
pub use memory::{Limits, MemoryEngine, MemoryStore, Usage};
pub use redis::{RedisEngine, RedisStore};

use crate::model::{
    Delete, Durability, Entry, Expiry, Key, Operations, Outcome, Position, Prefix, PutRef,
    RequestId, Result, UnixMillis, Value,
};

/// What each key counts in quotas, in bytes, beside its own length and its value's.
pub const ENTRY_OVERHEAD_BYTES: u32 = 64;

/// How long a request id is remembered.
pub const REQUEST_ID_WINDOW: Duration = Duration::from_secs(5 * 60);
/// How many request ids of a user are remembered.
pub const MAX_REQUEST_IDS: usize = 10_000;
/// How many bytes of answers to request ids are remembered for a user; the oldest go first. Only
/// batches that read large values come near it.
pub const MAX_REMEMBERED_BYTES: u64 = 16 << 20;

/// What a store keeps of its changes for those who watch, from the first listing or watch on.
pub const KEPT_CHANGES: feed::Capacity = feed::Capacity { events: 10_000, bytes: 1 << 20 };
/// How long it keeps them after the last listing or watch.
pub const CHANGES_KEPT_FOR: Duration = Duration::from_secs(5 * 60);
/// How many bytes of changes all stores together keep; over that, each that has one more keeps
/// none, and those who watch it get a gap.
pub const MAX_CHANGE_BYTES: u64 = 256 << 20;

/// One user's store, of any engine.
///
/// The futures are not boxed: those of the memory engine are ready at once and cost nothing.
///
/// Every method sees the store at one instant, at which each key is there or has expired for
/// everybody; a write is one atomic step.
pub trait Store: Sized + Send + Sync {
    /// What `key` holds; `None`: nothing, or it has expired.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Writes one key.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`; `QUOTA_EXCEEDED`; `SERVER_FULL`; `REQUEST_ID_REUSED`. Nothing has
    /// changed then.
    fn put(
        &self,
        write: Write,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Written>> + Send;

    /// Removes one key.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`; `REQUEST_ID_REUSED`. Nothing has changed then.
    fn delete(
        &self,
        delete: Delete,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Deleted>> + Send;

    /// Runs all of the operations, whose expiries were [resolved](Operations::resolve), or none.
    ///
    /// # Errors
    /// Those of `put` and `delete`, with the operation's index put before
    /// ([`crate::model::Error::in_operation`]); `INVALID_BATCH` for gets that come to more than
    /// [`MAX_MESSAGE_BYTES`](crate::model::MAX_MESSAGE_BYTES). Nothing has changed then.
    fn batch(
        &self,
        operations: Operations,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Batched>> + Send;

    /// The next rows of a listing in the store's own, fixed order.
    fn list(&self, query: ListQuery<'_>) -> impl Future<Output = Result<Listed>> + Send;

    /// Follows the store's changes, behind `after` or from now on.
    fn watch(&self, after: Option<Position>) -> impl Future<Output = Result<Watched>> + Send;

    /// Where the store stands.
    fn position(&self) -> impl Future<Output = Result<Position>> + Send;
}

/// A put whose expiry is a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What to write to.
    pub key: Key,
    /// What to write.
    pub value: Value,
    /// When the key goes; `None`: never. One that has passed by the time of the write leaves no key
    /// behind, yet counts as a write of one revision; no quota stands in its way.
    pub expire_time: Option<UnixMillis>,
    /// Refuse an `expire_time` that has passed with `INVALID_TTL`: it was given as a point in time,
    /// not as a time to live.
    pub refuse_passed: bool,
    /// Only if this is the key's revision; 0: only if there is no such key.
    pub if_revision: Option<u64>,
}

impl Write {
    /// The same, without its key and value.
    pub fn to_ref(&self) -> PutRef<'_> {
        PutRef {
            key: self.key.as_str().as_bytes(),
            value: self.value.as_bytes(),
            text: self.value.is_text(),
            expiry: self.expire_time.filter(|_| self.refuse_passed).map(Expiry::At),
            expire_time: self.expire_time,
            if_revision: self.if_revision,
        }
    }
}

/// What makes a write happen at most once: the same `id` of the same caller gets the first answer
/// again.
///
/// Failures are not remembered. The ids are kept with the caller's store, whoever's store the write
/// goes to.
#[derive(Debug)]
pub struct Once<'a, S> {
    /// The caller's own store.
    pub caller: &'a S,
    /// The caller's id for this write.
    pub id: RequestId,
    /// What tells one payload from another, the store it goes to included.
    pub fingerprint: [u8; 16],
}

/// A write that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision that it made.
    pub revision: u64,
    /// What is true of it.
    pub durability: Durability,
}

/// A removal that was done, or found nothing to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Whether the key was there.
    pub deleted: bool,
    /// The store's revision afterwards.
    pub revision: u64,
    /// What is true of it.
    pub durability: Durability,
}

/// A batch that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batched {
    /// One outcome for each operation.
    pub outcomes: Vec<Outcome>,
    /// The store's revision afterwards.
    pub revision: u64,
    /// What is true of it.
    pub durability: Durability,
}

/// Which rows to list.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// Only keys that begin with this.
    pub prefix: &'a Prefix,
    /// Behind this row; `None`: from the start.
    pub after: Option<&'a Key>,
    /// At most so many rows.
    pub max_rows: usize,
    /// At most so many bytes of keys and values, but at least one row.
    pub max_bytes: usize,
    /// Leave the values out.
    pub keys_only: bool,
}

/// A row of a listing: key, value unless only keys were asked for, revision, expiry.
pub type Row = (Key, Option<Value>, u64, Option<UnixMillis>);

/// Some rows of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The rows; fewer than asked for where the search took long.
    pub rows: Vec<Row>,
    /// Where to go on; `None`: that was all. Not always the last row's key: a search may stop
    /// between two that match.
    pub next: Option<Key>,
    /// Where the store stood.
    pub position: Position,
}

/// A change of one key. Its place in the feed is the revision that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was written.
    Put {
        /// What it holds.
        value: Value,
        /// When it goes; `None`: never.
        expire_time: Option<UnixMillis>,
    },
    /// It is gone.
    Delete {
        /// Whether it expired; otherwise it was removed.
        expired: bool,
    },
}

/// A place in a store's changes.
pub struct Watched {
    /// What comes next.
    pub follower: feed::Follower<Change>,
    /// Behind which change that is.
    pub position: Position,
    /// Whether changes behind the position asked for are missing, of another life of the store.
    pub gap: bool,
}
