//! The stores of users, in one of two engines: this process's memory, or Redis. Depends on `model`
//! alone.

use std::future::Future;

mod backend;
mod clock;
pub mod feed;
pub mod memory;
pub mod redis;

pub use backend::{Backend, Engine};
pub use clock::Clock;
pub use memory::{MemoryEngine, MemoryStore, StoreLimits, Usage};
pub use redis::{RedisEngine, RedisStore};

pub use crate::model::{
    Batched, CHANGES_KEPT_FOR, Deleted, ENTRY_OVERHEAD_BYTES, MAX_CHANGE_BYTES,
    MAX_REMEMBERED_BYTES, MAX_REQUEST_IDS, REQUEST_ID_WINDOW, Written,
};

use crate::model::{
    Delete, Entry, Key, ListedEntry, MAX_KEPT_CHANGE_BYTES, MAX_KEPT_CHANGES, Operations, Position,
    Prefix, PutRef, RequestId, Result, UnixMillis, Value,
};

/// Changes that a store keeps for watches, from its first listing or watch on.
pub const KEPT_CHANGES: feed::Capacity =
    feed::Capacity { events: MAX_KEPT_CHANGES, bytes: MAX_KEPT_CHANGE_BYTES };

/// One user's store, of any engine.
///
/// The futures are not boxed: those of the memory engine are ready at their first poll and cost
/// nothing.
///
/// Every method sees the store at one instant, at which each key is there or has expired for
/// everybody; a write is one atomic step.
///
/// # Errors
/// Beside the reasons that each method names, an engine that is reached over the network gives
/// - `STORE_UNAVAILABLE`: it cannot be reached; nothing was done;
/// - `OUTCOME_UNKNOWN`: the connection was lost after the command was sent, or too few replicas
///   have the write;
/// - `SESSION_EXPIRED`: the user is gone, and its store with it; nothing was done;
///
/// and any engine gives `INTERNAL` for what only a bug or foreign data explains.
pub trait Store: Sized + Send + Sync {
    /// Returns the entry of `key`, or `None` if there is none or it has expired.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`. The memory engine gives none.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Writes one key, by its [`PutRef::expire_time`].
    ///
    /// An expiry that has passed by the time of the write leaves no key behind, yet counts as a
    /// write of one revision that no quota refuses; one that was
    /// [given as a point in time](PutRef::refuses_passed) is refused.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`, `INVALID_TTL`, `QUOTA_EXCEEDED`, `SERVER_FULL`, `REQUEST_ID_REUSED`,
    /// `STORE_UNAVAILABLE`, `SESSION_EXPIRED`: nothing has changed. `OUTCOME_UNKNOWN`: the write
    /// may have been done.
    fn put(
        &self,
        put: PutRef<'_>,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Written>> + Send;

    /// Removes one key.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`, `REQUEST_ID_REUSED`, `SERVER_FULL` (for the record of the request id),
    /// `STORE_UNAVAILABLE`, `SESSION_EXPIRED`: nothing has changed. `OUTCOME_UNKNOWN`: the removal
    /// may have been done.
    fn delete(
        &self,
        delete: Delete,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Deleted>> + Send;

    /// Runs all of the operations, whose expiries were [resolved](Operations::resolve), or none.
    ///
    /// # Errors
    /// Those of `put` and `delete`, prefixed with the operation's index
    /// ([`crate::model::Error::in_operation`]); `INVALID_BATCH` for gets whose values exceed
    /// [`MAX_MESSAGE_BYTES`](crate::model::MAX_MESSAGE_BYTES). Nothing has changed then, except
    /// perhaps after `OUTCOME_UNKNOWN`.
    fn batch(
        &self,
        operations: Operations,
        once: Option<Once<'_, Self>>,
    ) -> impl Future<Output = Result<Batched>> + Send;

    /// Returns the next rows of a listing, in the store's own fixed order.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SESSION_EXPIRED`; `OUTCOME_UNKNOWN` if the connection is lost again
    /// and again, which a repetition of the call cures.
    fn list(&self, query: ListQuery<'_>) -> impl Future<Output = Result<Listed>> + Send;

    /// Follows the store's changes, after the position `after` or from now on.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn watch(&self, after: Option<Position>) -> impl Future<Output = Result<Watched>> + Send;

    /// Returns the position of the store's latest change.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn position(&self) -> impl Future<Output = Result<Position>> + Send;
}

/// Request id of a write, by which it happens at most once: the same `id` of the same caller gets
/// the first reply again.
///
/// Failures are not remembered. Ids are kept with the caller's store, also for writes to another
/// user's store.
#[derive(Debug)]
pub struct Once<'a, S> {
    /// Caller's own store.
    pub caller: &'a S,
    /// Caller's id for this write.
    pub id: RequestId,
    /// Digest of the payload and of the store that it goes to.
    pub fingerprint: [u8; 16],
}

/// Part of a store that a listing asks for.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// Prefix of the keys.
    pub prefix: &'a Prefix,
    /// Row after which the listing goes on; `None`: from the start.
    pub after: Option<&'a Key>,
    /// Maximum number of rows.
    pub max_rows: usize,
    /// Maximum bytes of keys and values; the first row is given in any case.
    pub max_bytes: usize,
    /// Parts of the entries that the rows hold.
    pub parts: ListParts,
}

/// Parts of an entry that a row of a listing holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListParts {
    /// Only the key is asked for; the other parts may be missing.
    Keys,
    /// The key, the revision and the expiry.
    Headers,
    /// The whole entry.
    Entries,
}

/// Some rows of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The rows; fewer than asked for where the search took long.
    pub rows: Vec<ListedEntry>,
    /// Key after which the listing goes on; `None`: it is complete. Not always the last row's key:
    /// a search may stop between two that match.
    pub next: Option<Key>,
    /// Store's position when the rows were read.
    pub position: Position,
}

/// Change of one key. Its sequence in the feed is the revision that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Kind of the change.
    pub kind: ChangeKind,
}

/// Kind of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The key was written.
    Put {
        /// Its new value.
        value: Value,
        /// When it expires; `None`: never.
        expire_time: Option<UnixMillis>,
    },
    /// The key is gone.
    Delete {
        /// True if it expired, false if it was removed.
        expired: bool,
    },
}

/// Watch of a store's changes.
pub struct Watched {
    /// Follower of the changes after `position`.
    pub follower: feed::Follower<Change>,
    /// Position from which the watch goes on.
    pub position: Position,
    /// True if changes after the position asked for are missing: they are no longer kept, or the
    /// position is of another epoch of the store.
    pub gap: bool,
}
