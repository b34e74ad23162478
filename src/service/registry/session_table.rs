//! Table of sessions, by token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::model::{Error, Reason, Result, UnixMillis};
use crate::service::session::Session;
use crate::service::token::TokenHash;

const SHARDS: usize = 64;

/// Sessions that this process knows. A look-up locks one of 64 shards for one probe.
pub(super) struct SessionTable {
    shards: Vec<Mutex<HashTable<Arc<Session>>>>,
    count: AtomicU64,
    max: u64,
    /// Index of the shard at which the next sweep begins.
    next: AtomicUsize,
}

impl SessionTable {
    pub(super) fn new(max: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicU64::new(0),
            max,
            next: AtomicUsize::new(0),
        }
    }

    /// Returns the number of sessions.
    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Checks that there is room for one more session at this moment.
    ///
    /// # Errors
    /// `SERVER_FULL`.
    pub(super) fn has_room(&self) -> Result<()> {
        if self.len() >= self.max { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> Error {
        let sentence =
            format!("the server has {} sessions, as many as it may; try again later", self.max);
        Error::new(Reason::ServerFull, sentence).retry_after(std::time::Duration::from_secs(60))
    }

    /// Adds a session. Returns the one of the same token if there is one already.
    ///
    /// # Errors
    /// `SERVER_FULL` if the table has its maximum number of sessions.
    pub(super) fn insert(&self, session: Arc<Session>) -> Result<Arc<Session>> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(self.full());
        }
        if let Some(shard) = self.shard(session.token) {
            let (bits, token) = (session.token.bits(), session.token);
            let mut shard = shard.lock();
            // Two calls may look up the same session of a shared engine.
            if let Some(known) = shard.find(bits, |known| known.token == token) {
                self.count.fetch_sub(1, Ordering::AcqRel);
                return Ok(Arc::clone(known));
            }
            shard.insert_unique(bits, Arc::clone(&session), |known| known.token.bits());
        }
        Ok(session)
    }

    /// Returns the session of this token, live or ended.
    pub(super) fn find(&self, token: TokenHash) -> Option<Arc<Session>> {
        self.shard(token)?.lock().find(token.bits(), |known| known.token == token).cloned()
    }

    /// Returns the sessions of the next eighth of the table.
    pub(super) fn next_part(&self) -> Vec<Arc<Session>> {
        let start = self.next.fetch_add(SHARDS / 8, Ordering::Relaxed);
        let part = (start..start + SHARDS / 8).filter_map(|index| self.shards.get(index % SHARDS));
        part.flat_map(|shard| shard.lock().iter().cloned().collect::<Vec<_>>()).collect()
    }

    /// Removes a session.
    pub(super) fn remove(&self, token: TokenHash) {
        let Some(shard) = self.shard(token) else { return };
        if let Ok(found) = shard.lock().find_entry(token.bits(), |known| known.token == token) {
            found.remove();
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Returns the expired sessions of the next eighth of the table.
    pub(super) fn overdue(&self, now: UnixMillis) -> Vec<Arc<Session>> {
        let start = self.next.fetch_add(SHARDS / 8, Ordering::Relaxed);
        let part = (start..start + SHARDS / 8).filter_map(|index| self.shards.get(index % SHARDS));
        part.flat_map(|shard| {
            shard.lock().iter().filter(|session| !session.is_live(now)).cloned().collect::<Vec<_>>()
        })
        .collect()
    }

    fn shard(&self, token: TokenHash) -> Option<&Mutex<HashTable<Arc<Session>>>> {
        // The table inside uses the low and the topmost bits.
        self.shards.get((token.bits() >> 40) as usize % SHARDS)
    }
}
