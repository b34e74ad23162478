//! Replies that are remembered for request ids.

use std::collections::VecDeque;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::model::{Error, Outcome, Reason, Result, UnixMillis};
use crate::store::{
    Batched, Deleted, MAX_REMEMBERED_BYTES, MAX_REQUEST_IDS, MemoryStore, Once, REQUEST_ID_WINDOW,
    Written,
};

use super::engine::MemoryShared;
use super::map::hash;

/// Bytes that a record counts beside its id and what its reply holds: the record itself, its share
/// of the index, and allocations.
const RECORD_BYTES: usize = size_of::<Record>() + 64;

/// Answered requests of one user, the oldest first.
pub(super) struct RequestIds {
    hasher: RandomState,
    records: VecDeque<Record>,
    /// Number of the first record; the others count on from it.
    first: u64,
    /// Numbers of records, by the hash of the id.
    index: HashTable<u64>,
    bytes: u64,
}

struct Record {
    id: Box<str>,
    fingerprint: [u8; 16],
    time: UnixMillis,
    bytes: u64,
    reply: StoredReply,
}

/// Reply to a write.
pub(super) enum StoredReply {
    Written(Written),
    Deleted(Deleted),
    Batched(Box<Batched>),
}

/// Reply of one kind of write.
pub(super) trait Remembered: Sized {
    fn to_stored(&self) -> StoredReply;
    fn from_stored(reply: &StoredReply) -> Option<Self>;
}

impl Remembered for Written {
    fn to_stored(&self) -> StoredReply {
        StoredReply::Written(*self)
    }

    fn from_stored(reply: &StoredReply) -> Option<Self> {
        if let StoredReply::Written(written) = reply { Some(*written) } else { None }
    }
}

impl Remembered for Deleted {
    fn to_stored(&self) -> StoredReply {
        StoredReply::Deleted(*self)
    }

    fn from_stored(reply: &StoredReply) -> Option<Self> {
        if let StoredReply::Deleted(deleted) = reply { Some(*deleted) } else { None }
    }
}

impl Remembered for Batched {
    fn to_stored(&self) -> StoredReply {
        StoredReply::Batched(Box::new(self.clone()))
    }

    fn from_stored(reply: &StoredReply) -> Option<Self> {
        if let StoredReply::Batched(batched) = reply { Some(Self::clone(batched)) } else { None }
    }
}

impl RequestIds {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { hasher, records: VecDeque::new(), first: 0, index: HashTable::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest record expires; `None` without records.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.records.front().map(Record::expire_time)
    }

    /// Returns the first reply to this request, if it is remembered.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if the id was used for another request.
    pub(super) fn reply_to<T: Remembered>(
        &self,
        once: &Once<'_, MemoryStore>,
    ) -> Result<Option<T>> {
        let id = once.id.as_str();
        let hash = hash(&self.hasher, id.as_bytes());
        let number = self
            .index
            .find(hash, |number| self.record(*number).is_some_and(|record| *record.id == *id));
        let Some(record) = number.and_then(|number| self.record(*number)) else { return Ok(None) };
        let same = record.fingerprint == once.fingerprint;
        match T::from_stored(&record.reply).filter(|_| same) {
            Some(reply) => Ok(Some(reply)),
            None => Err(Error::new(
                Reason::RequestIdReused,
                "this request_id was used for another request; a new request needs a new id",
            )
            .in_field("request_id")),
        }
    }

    /// Remembers a reply, and forgets the oldest if there are too many.
    ///
    /// # Errors
    /// `SERVER_FULL`: the engine's budget has no room for it.
    pub(super) fn remember(
        &mut self,
        once: &Once<'_, MemoryStore>,
        reply: StoredReply,
        time: UnixMillis,
        shared: &MemoryShared,
    ) -> Result<()> {
        let id = once.id.as_str();
        let bytes = (RECORD_BYTES + id.len() + reply.bytes()) as u64;
        shared.reserve_for_request_id(bytes)?;
        while !self.records.is_empty()
            && (self.records.len() >= MAX_REQUEST_IDS || self.bytes + bytes > MAX_REMEMBERED_BYTES)
        {
            self.forget_first(shared);
        }
        let number = self.first + self.records.len() as u64;
        self.records.push_back(Record {
            id: id.into(),
            fingerprint: once.fingerprint,
            time,
            bytes,
            reply,
        });
        self.bytes += bytes;
        let (hasher, records, first) = (&self.hasher, &self.records, self.first);
        self.index.insert_unique(hash(hasher, id.as_bytes()), number, |number| {
            nth(records, first, *number).map_or(0, |record| hash(hasher, record.id.as_bytes()))
        });
        Ok(())
    }

    /// Forgets the records that have expired. Returns their number.
    pub(super) fn forget(&mut self, now: UnixMillis, shared: &MemoryShared) -> usize {
        let before = self.records.len();
        while self.records.front().is_some_and(|record| record.expire_time() <= now) {
            self.forget_first(shared);
        }
        before - self.records.len()
    }

    /// Forgets every record.
    pub(super) fn forget_all(&mut self, shared: &MemoryShared) {
        while !self.records.is_empty() {
            self.forget_first(shared);
        }
    }

    fn forget_first(&mut self, shared: &MemoryShared) {
        let Some(record) = self.records.pop_front() else { return };
        let hash = hash(&self.hasher, record.id.as_bytes());
        if let Ok(slot) = self.index.find_entry(hash, |number| *number == self.first) {
            slot.remove();
        }
        self.first += 1;
        self.bytes -= record.bytes;
        shared.release_for_request_id(record.bytes);
        if self.records.capacity() >= 32 && self.records.len() <= self.records.capacity() / 4 {
            let room = self.records.len() * 2;
            self.records.shrink_to(room);
            let (hasher, records, first) = (&self.hasher, &self.records, self.first);
            self.index.shrink_to(room, |number| {
                nth(records, first, *number)
                    .map_or(0, |record| self::hash(hasher, record.id.as_bytes()))
            });
        }
    }

    fn record(&self, number: u64) -> Option<&Record> {
        nth(&self.records, self.first, number)
    }
}

fn nth(records: &VecDeque<Record>, first: u64, number: u64) -> Option<&Record> {
    records.get(usize::try_from(number.checked_sub(first)?).ok()?)
}

impl Record {
    fn expire_time(&self) -> UnixMillis {
        self.time.saturating_add(REQUEST_ID_WINDOW)
    }
}

impl StoredReply {
    /// Bytes that the reply holds beside itself.
    fn bytes(&self) -> usize {
        match self {
            Self::Written(_) | Self::Deleted(_) => 0,
            Self::Batched(batched) => {
                let values = batched.outcomes.iter().map(|outcome| match outcome {
                    Outcome::Get(Some(entry)) => entry.value.as_bytes().len(),
                    Outcome::Get(None) | Outcome::Put { .. } | Outcome::Delete { .. } => 0,
                });
                size_of::<Batched>()
                    + batched.outcomes.len() * size_of::<Outcome>()
                    + values.sum::<usize>()
            }
        }
    }
}
