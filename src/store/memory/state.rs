//! State of one store, and the changes of one key. All of it is under the store's lock.

use foldhash::quality::RandomState;

use crate::model::{Entry, Error, Expiry, PutRef, Reason, Result, UnixMillis};
use crate::store::{Change, ENTRY_OVERHEAD_BYTES};

use super::changes::Changes;
use super::engine::MemoryShared;
use super::expiries::Expiries;
use super::map::{Location, MapSlot, SlotMap};
use super::undo_log::UndoLog;

/// Maximum number of expired keys that an operation removes before its own work: enough that they
/// get fewer, few enough not to be felt.
const EXPIRED_PER_OPERATION: usize = 64;
/// Maximum number of expired keys that are removed before a write that did not fit is tried again.
const EXPIRED_PER_REFUSAL: usize = 256;

/// State of a store.
pub(super) struct StoreState {
    pub(super) map: SlotMap,
    pub(super) expiries: Expiries,
    /// Number of changes so far.
    pub(super) revision: u64,
    /// Bytes that the entries count in quotas.
    pub(super) bytes: u64,
    /// Bytes taken of the engine's budget: at least `bytes`, and exactly that between operations.
    reserved: u64,
    /// Keys that the engine has counted: those of the map between operations.
    counted: u64,
    /// Undo log of the batch that is running.
    pub(super) undo_log: Option<UndoLog>,
    /// Changes that are kept for watches; `None` while nobody lists or watches the store.
    pub(super) changes: Option<Box<Changes>>,
}

impl StoreState {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            map: SlotMap::new(hasher),
            expiries: Expiries::new(),
            revision: 0,
            bytes: 0,
            reserved: 0,
            counted: 0,
            undo_log: None,
            changes: None,
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.map.len() as u64
    }

    /// Counts a change and returns its revision. Every change of the store passes here, in the
    /// order of revisions: a put, a delete of a key that was there, an expiry.
    fn changed(&mut self, change: impl FnOnce() -> Option<Change>) -> u64 {
        self.revision += 1;
        if self.changes.is_some()
            && let Some(change) = change()
        {
            self.keep(change);
        }
        self.revision
    }

    fn keep(&mut self, change: Change) {
        match (&mut self.undo_log, &mut self.changes) {
            (Some(log), Some(_)) => log.changes.push(change),
            (None, Some(changes)) => changes.append(change),
            (_, None) => {}
        }
    }

    /// Removes some of what has expired, at the beginning of an operation. The rest is hidden by
    /// [`expire_if_due`](Self::expire_if_due).
    pub(super) fn expire_some(&mut self, now: UnixMillis) {
        self.expire_up_to(now, EXPIRED_PER_OPERATION);
    }

    /// Removes the key if it has expired; called before an operation reads it.
    pub(super) fn expire_if_due(&mut self, hash: u64, key: &[u8], now: UnixMillis) {
        if !self.expiries.is_any_due(now) {
            return;
        }
        if let Some(slot) = self.map.find(hash, key)
            && slot.is_due(now)
        {
            let revision = slot.revision();
            self.expire(hash, revision);
        }
    }

    /// Removes at most `most` expired keys. Returns their number.
    pub(super) fn expire_up_to(&mut self, now: UnixMillis, most: usize) -> usize {
        let mut expired = 0;
        while expired < most
            && let Some(due) = self.expiries.first_due(now)
        {
            self.expire(due.hash, due.revision);
            expired += 1;
        }
        expired
    }

    /// Removes the entry of this revision, which has expired.
    fn expire(&mut self, hash: u64, revision: u64) {
        // The key is copied only for watches.
        let watched = self.changes.as_ref().and_then(|_| self.map.find_revision(hash, revision));
        let change = watched.and_then(|slot| Change::gone(slot.key(), true));
        self.remove(hash, revision);
        self.changed(|| change);
    }

    pub(super) fn read(&self, hash: u64, key: &[u8]) -> Option<Entry> {
        self.map.find(hash, key).map(MapSlot::to_entry)
    }

    /// Runs `write`. As long as it fails for want of room and something has expired, removes that
    /// and runs it again.
    pub(super) fn with_room<T>(
        &mut self,
        now: UnixMillis,
        mut write: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        loop {
            let done = write(self);
            let full = done.as_ref().err().is_some_and(|error| {
                matches!(error.reason(), Reason::QuotaExceeded | Reason::ServerFull)
            });
            if !full || self.expire_up_to(now, EXPIRED_PER_REFUSAL) == 0 {
                return done;
            }
        }
    }

    /// Writes a key that is absent or has not expired, and returns the revision. A put whose expiry
    /// has passed is a removal, of one revision like every put.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`, `INVALID_TTL`, `QUOTA_EXCEEDED`, `SERVER_FULL`; nothing has changed.
    pub(super) fn put(
        &mut self,
        hash: u64,
        put: &PutRef<'_>,
        now: UnixMillis,
        shared: &MemoryShared,
    ) -> Result<u64> {
        let location = self.map.locate(hash, put.key);
        let old = location.and_then(|location| self.map.get(location));
        let old_revision = old.map(MapSlot::revision);
        self.check(put.if_revision, old_revision)?;
        if put.expire_time.is_some_and(|time| time <= now) {
            if put.refuses_passed() {
                return Err(Expiry::passed());
            }
            if let Some(old) = old_revision {
                self.remove(hash, old);
            }
            return Ok(self.changed(|| Change::gone(put.key, true)));
        }

        let old_cost = old.map_or(0, cost_of);
        let fits = old.is_some_and(|old| old.has_room_for(put));
        let cost = cost(put.key.len(), put.value.len());
        self.charge(
            old.is_none(),
            self.bytes.saturating_sub(old_cost).saturating_add(cost),
            cost,
            shared,
        )?;
        if !fits && !self.map.has_room(hash) {
            return Err(Error::new(
                Reason::QuotaExceeded,
                "the store has too many keys of the same hash",
            ));
        }
        let revision = self.changed(|| Change::of(put));
        match location {
            Some(location) => self.replace(hash, location, fits, put, revision),
            None => self.insert(hash, put, revision),
        }
        Ok(revision)
    }

    /// Removes a key that has not expired. Returns true if it was there.
    ///
    /// # Errors
    /// `REVISION_MISMATCH`; nothing has changed.
    pub(super) fn delete(
        &mut self,
        hash: u64,
        key: &[u8],
        if_revision: Option<u64>,
    ) -> Result<bool> {
        let old = self.map.find(hash, key).map(MapSlot::revision);
        self.check(if_revision, old)?;
        let Some(old) = old else { return Ok(false) };
        self.remove(hash, old);
        self.changed(|| Change::gone(key, false));
        Ok(true)
    }

    /// Empties the store and gives everything back to the engine. The caller frees the map that is
    /// returned.
    pub(super) fn close(&mut self, shared: &MemoryShared) -> SlotMap {
        let empty = self.map.empty();
        let map = std::mem::replace(&mut self.map, empty);
        self.expiries = Expiries::new();
        self.bytes = 0;
        self.settle(shared);
        self.forget_changes(shared);
        map
    }

    /// Reports to the engine what an operation changed. The bytes that a batch frees are given back
    /// only here, when nothing can be undone any more.
    pub(super) fn settle(&mut self, shared: &MemoryShared) {
        if self.reserved > self.bytes {
            shared.release(self.reserved - self.bytes);
            self.reserved = self.bytes;
        }
        if self.counted != self.keys() {
            shared.count_keys(self.counted, self.keys());
            self.counted = self.keys();
        }
        if let Some(changes) = &mut self.changes {
            changes.settle(shared);
        }
    }

    /// Returns the changes, which are kept from now on. This counts as a use of them.
    pub(super) fn keep_changes(&mut self, now: UnixMillis) -> &mut Changes {
        let revision = self.revision;
        let changes = self.changes.get_or_insert_with(|| Box::new(Changes::new(revision, now)));
        changes.mark_used(now);
        changes
    }

    /// Forgets the changes, unless they are in use.
    pub(super) fn tidy_changes(&mut self, now: UnixMillis, shared: &MemoryShared) {
        if self.changes.as_mut().is_some_and(|changes| changes.are_over(now)) {
            self.forget_changes(shared);
        }
    }

    fn forget_changes(&mut self, shared: &MemoryShared) {
        if let Some(changes) = self.changes.take() {
            changes.close(shared);
        }
    }

    /// Returns when the store is to be swept, since a key expires or its changes may be forgotten;
    /// `None`: never.
    pub(super) fn next_visit(&self) -> Option<UnixMillis> {
        let changes = self.changes.as_ref().map(|changes| changes.due());
        match (changes, self.expiries.next()) {
            (Some(changes), Some(expiry)) => Some(changes.min(expiry)),
            (changes, expiry) => changes.or(expiry),
        }
    }

    /// Checks `if_revision` for a key of this revision.
    fn check(&self, if_revision: Option<u64>, revision: Option<u64>) -> Result<()> {
        let Some(wanted) = if_revision else { return Ok(()) };
        let in_batch = |revision| self.undo_log.as_ref().is_some_and(|log| revision > log.revision);
        let message = match revision {
            None if wanted == 0 => return Ok(()),
            None => format!("if_revision is {wanted}, but there is no such key"),
            Some(revision) if in_batch(revision) => {
                format!(
                    "if_revision is {wanted}, but an earlier operation of the batch wrote the key, \
                     which none matches"
                )
            }
            Some(revision) if wanted == revision => return Ok(()),
            Some(revision) if wanted == 0 => {
                format!("if_revision is 0 (no such key), but the key has revision {revision}")
            }
            Some(revision) => {
                format!("if_revision is {wanted}, but the key has revision {revision}")
            }
        };
        Err(Error::new(Reason::RevisionMismatch, message).in_field("if_revision"))
    }

    /// Checks the quotas for a store of `bytes`, and takes what it lacks from the engine's budget.
    fn charge(
        &mut self,
        new_key: bool,
        bytes: u64,
        cost: u64,
        shared: &MemoryShared,
    ) -> Result<()> {
        let limits = &shared.limits;
        if new_key && self.keys() >= limits.max_keys_per_user {
            let message = format!(
                "the store has {} keys, and {} are allowed",
                self.keys(),
                limits.max_keys_per_user
            );
            return Err(Error::new(Reason::QuotaExceeded, message));
        }
        if bytes > limits.max_bytes_per_user {
            let message = format!(
                "the key needs {cost} bytes, with which the store would have {bytes}; {} are \
                 allowed",
                limits.max_bytes_per_user
            );
            return Err(Error::new(Reason::QuotaExceeded, message));
        }
        if bytes > self.reserved {
            shared.reserve(bytes - self.reserved)?;
            self.reserved = bytes;
        }
        Ok(())
    }

    /// Replaces the entry at `location` by that of a put of the same key, in place if it `fits`.
    fn replace(
        &mut self,
        hash: u64,
        location: Location,
        fits: bool,
        put: &PutRef<'_>,
        revision: u64,
    ) {
        let Some(mut slot) = self.map.get_mut(location) else { return };
        let old_cost = cost_of(slot.as_ref());
        self.expiries.remove(hash, slot.as_ref());
        let in_place = fits
            && self
                .undo_log
                .as_mut()
                .is_none_or(|log| log.overwritten(hash, revision, slot.as_ref()));
        if in_place {
            slot.overwrite(put, revision);
        } else {
            let old = slot.as_ref().revision();
            let old = self.map.replace(hash, old, (put, revision));
            if let (Some(log), Some(old)) = (&mut self.undo_log, old) {
                log.replaced(hash, revision, old);
            }
        }
        self.expiries.add(hash, put.expire_time, revision);
        let cost = cost(put.key.len(), put.value.len());
        self.bytes = self.bytes.saturating_sub(old_cost).saturating_add(cost);
    }

    fn insert(&mut self, hash: u64, put: &PutRef<'_>, revision: u64) {
        if let Some(log) = &mut self.undo_log {
            log.inserted(hash, revision);
        }
        self.expiries.add(hash, put.expire_time, revision);
        self.bytes += cost(put.key.len(), put.value.len());
        self.map.insert(hash, (put, revision));
    }

    /// Removes the entry of this revision.
    fn remove(&mut self, hash: u64, revision: u64) {
        let Some(slot) = self.map.remove(hash, revision) else { return };
        self.expiries.remove(hash, slot.as_ref());
        self.bytes = self.bytes.saturating_sub(cost_of(slot.as_ref()));
        if let Some(log) = &mut self.undo_log {
            log.removed(hash, slot);
        }
    }
}

/// Bytes that an entry counts in quotas.
fn cost_of(slot: MapSlot<'_>) -> u64 {
    cost(slot.key().len(), slot.value().len())
}

/// Bytes that a key and a value of these lengths count in quotas.
fn cost(key_len: usize, value_len: usize) -> u64 {
    let bytes = u64::try_from(key_len.saturating_add(value_len)).unwrap_or(u64::MAX);
    bytes.saturating_add(u64::from(ENTRY_OVERHEAD_BYTES))
}
