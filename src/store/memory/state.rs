//! What a store holds, and the changes of one key. All of it is under the store's lock.

use foldhash::quality::RandomState;

use crate::model::{self, Error, Expiry, PutRef, Reason, Result, UnixMillis};
use crate::store::Change;
use crate::store::seeded::{self, Bug};

use super::changes::Changes;
use super::engine::Shared;
use super::entry::{self, Entry, NewEntry};
use super::expiries::Expiries;
use super::journal::Journal;
use super::table::{Place, Table};

/// How many expired keys an operation takes out before it does its own work: enough that they get
/// fewer, few enough not to be felt.
const PURGE_PER_OPERATION: usize = 64;
/// How many expired keys go between two looks at whether a write fits by now.
const PURGE_PER_REFUSAL: usize = 256;

/// A store.
pub(super) struct State {
    pub(super) table: Table,
    pub(super) expiries: Expiries,
    /// How many changes there were.
    pub(super) revision: u64,
    /// What the entries count in quotas.
    pub(super) bytes: u64,
    /// What is taken of the engine's budget: at least `bytes`, and just that between operations.
    reserved: u64,
    /// The keys of which the engine knows: those of the table between operations.
    counted: u64,
    /// What undoes a batch that is under way.
    pub(super) journal: Option<Journal>,
    /// What is kept of its changes, while somebody wants them.
    pub(super) changes: Option<Box<Changes>>,
}

impl State {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            table: Table::new(hasher),
            expiries: Expiries::new(),
            revision: 0,
            bytes: 0,
            reserved: 0,
            counted: 0,
            journal: None,
            changes: None,
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.table.len() as u64
    }

    /// Every change of the store passes here, in the order of revisions: a put, a delete of a key
    /// that was there, an expiry. Gives the change's revision.
    fn changed(&mut self, change: impl FnOnce() -> Option<Change>) -> u64 {
        self.count_change();
        if self.changes.is_some()
            && let Some(change) = change()
        {
            self.keep(change);
        }
        self.revision
    }

    fn count_change(&mut self) {
        if !(seeded::on(Bug::RevisionUsedTwice) && self.table.len() % 3 == 2) {
            self.revision += 1;
        }
    }

    fn keep(&mut self, change: Change) {
        match (&mut self.journal, &mut self.changes) {
            (Some(journal), Some(_)) => journal.changes.push(change),
            (None, Some(changes)) => changes.append(change),
            (_, None) => {}
        }
    }

    /// Takes out some of what has expired. What is left has expired for everybody too: see
    /// [`touch`](Self::touch).
    pub(super) fn begin(&mut self, now: UnixMillis) {
        if !seeded::on(Bug::ExpiredValueBack) {
            self.purge(now, PURGE_PER_OPERATION);
        }
    }

    /// Takes out the key if it has expired; before an operation looks at it.
    pub(super) fn touch(&mut self, hash: u64, key: &[u8], now: UnixMillis) {
        if !self.expiries.is_any_due(now) {
            return;
        }
        if let Some(entry) = self.find(hash, key)
            && entry.is_due(now)
        {
            let revision = entry.revision();
            self.expire(hash, revision);
        }
    }

    /// Takes out at most so many of the expired keys, and tells how many.
    pub(super) fn purge(&mut self, now: UnixMillis, most: usize) -> usize {
        let mut purged = 0;
        while purged < most
            && let Some(due) = self.expiries.first_due(now)
        {
            self.expire(due.hash, due.revision);
            purged += 1;
        }
        purged
    }

    /// Takes out the entry of this revision, which has expired.
    fn expire(&mut self, hash: u64, revision: u64) {
        // The key is copied only for those who watch.
        let watched = self
            .changes
            .as_ref()
            .and_then(|_| self.table.find(hash, |entry| entry.revision() == revision));
        let change = watched.and_then(|entry| Change::gone(entry.key(), true));
        self.remove(hash, revision);
        self.count_change();
        if let Some(change) = change {
            self.keep(change);
        }
    }

    pub(super) fn read(&self, hash: u64, key: &[u8]) -> Option<model::Entry> {
        self.find(hash, key).map(Entry::to_model)
    }

    /// Does `write`; where there is no room for it, takes out what has expired, as much as it
    /// needs.
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
            if !full || self.purge(now, PURGE_PER_REFUSAL) == 0 {
                return done;
            }
        }
    }

    /// Writes a key that is not there or has not expired, and gives the revision. An expiry that
    /// has passed makes it a removal, of one revision as every put.
    pub(super) fn put(
        &mut self,
        hash: u64,
        write: &PutRef<'_>,
        now: UnixMillis,
        shared: &Shared,
    ) -> Result<u64> {
        let place = self.table.locate(hash, |entry| entry.key() == write.key);
        let old = place.and_then(|place| self.table.get(place));
        let old_revision = old.map(Entry::revision);
        self.check(write.if_revision, old_revision)?;
        if seeded::on(Bug::LostCas) && write.if_revision.is_some() && self.revision % 4 == 3 {
            return Ok(self.changed(|| Change::of(write)));
        }
        if write.expire_time.is_some_and(|time| time <= now) {
            if write.refuses_passed() {
                return Err(Expiry::passed());
            }
            if let Some(old) = old_revision {
                self.remove(hash, old);
            }
            return Ok(self.changed(|| Change::gone(write.key, true)));
        }

        let old_cost = old.map_or(0, Entry::cost);
        let fits = old.is_some_and(|old| old.has_room_for(write));
        let cost = entry::cost(write.key.len(), write.value.len());
        self.charge(
            old.is_none(),
            self.bytes.saturating_sub(old_cost).saturating_add(cost),
            cost,
            shared,
        )?;
        if !fits && !self.table.has_room(hash) {
            return Err(Error::new(
                Reason::QuotaExceeded,
                "the store has too many keys of the same hash",
            ));
        }
        let new = NewEntry { write, revision: self.changed(|| Change::of(write)) };
        match place {
            Some(place) => self.replace(hash, place, fits, &new),
            None => self.insert(hash, &new),
        }
        Ok(new.revision)
    }

    /// Removes a key that has not expired; tells whether it was there.
    pub(super) fn delete(
        &mut self,
        hash: u64,
        key: &[u8],
        if_revision: Option<u64>,
    ) -> Result<bool> {
        let old = self.find(hash, key).map(Entry::revision);
        self.check(if_revision, old)?;
        let Some(old) = old else { return Ok(false) };
        self.remove(hash, old);
        self.changed(|| Change::gone(key, false));
        Ok(true)
    }

    /// Gives everything back to the engine; the entries are the caller's to free.
    pub(super) fn close(&mut self, shared: &Shared) -> Table {
        let empty = self.table.empty();
        let table = std::mem::replace(&mut self.table, empty);
        self.expiries = Expiries::new();
        self.bytes = 0;
        self.settle(shared);
        self.forget_changes(shared);
        table
    }

    /// Whether the condition of a put holds now.
    #[cfg(feature = "seeded-bugs")]
    pub(super) fn check_key(&self, hash: u64, write: &PutRef<'_>) -> Result<()> {
        self.check(write.if_revision, self.find(hash, write.key).map(Entry::revision))
    }

    /// Tells the engine what an operation changed. A batch gives bytes back only here, when nothing
    /// can be undone any more.
    pub(super) fn settle(&mut self, shared: &Shared) {
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

    /// The changes, kept from now on if they were not; this is a use of them.
    pub(super) fn keep_changes(&mut self, now: UnixMillis) -> &mut Changes {
        let revision = self.revision;
        let changes = self.changes.get_or_insert_with(|| Box::new(Changes::new(revision, now)));
        changes.touch(now);
        changes
    }

    /// Forgets the changes, unless somebody needs them.
    pub(super) fn tidy_changes(&mut self, now: UnixMillis, shared: &Shared) {
        if self.changes.as_mut().is_some_and(|changes| changes.are_over(now)) {
            self.forget_changes(shared);
        }
    }

    fn forget_changes(&mut self, shared: &Shared) {
        if let Some(changes) = self.changes.take() {
            changes.close(shared);
        }
    }

    /// When the store wants to be visited: something expires, or its changes may be forgotten.
    /// `None`: never.
    pub(super) fn next_visit(&self) -> Option<UnixMillis> {
        let changes = self.changes.as_ref().map(|changes| changes.due());
        match (changes, self.expiries.next()) {
            (Some(changes), Some(expiry)) => Some(changes.min(expiry)),
            (changes, expiry) => changes.or(expiry),
        }
    }

    /// Whether `if_revision` holds for a key of this revision.
    fn check(&self, if_revision: Option<u64>, revision: Option<u64>) -> Result<()> {
        let Some(wanted) = if_revision else { return Ok(()) };
        let in_batch =
            |revision| self.journal.as_ref().is_some_and(|journal| revision > journal.revision);
        let message = match revision {
            None if wanted == 0 => return Ok(()),
            None => format!("if_revision is {wanted}, but there is no such key"),
            Some(revision) if in_batch(revision) => {
                format!(
                    "if_revision is {wanted}, but an earlier operation of the batch wrote the key, which none matches"
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

    /// Checks the quotas for a store of `bytes`, and takes what is missing of the engine's budget.
    fn charge(&mut self, new_key: bool, bytes: u64, cost: u64, shared: &Shared) -> Result<()> {
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
                "the key needs {cost} bytes, with which the store would have {bytes}; {} are allowed",
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

    fn find(&self, hash: u64, key: &[u8]) -> Option<Entry<'_>> {
        self.table.find(hash, |entry| entry.key() == key)
    }

    /// Puts an entry in the place of one of the same key, which has room for it or not.
    fn replace(&mut self, hash: u64, place: Place, fits: bool, new: &NewEntry<'_>) {
        let Some(mut entry) = self.table.get_mut(place) else { return };
        let old_cost =
            if seeded::on(Bug::QuotaDriftOnOverwrite) { 0 } else { entry.as_ref().cost() };
        self.expiries.remove(hash, entry.as_ref());
        let in_place = fits
            && self
                .journal
                .as_mut()
                .is_none_or(|journal| journal.overwritten(hash, new.revision, entry.as_ref()));
        if in_place {
            entry.overwrite(new);
        } else {
            let old = entry.as_ref().revision();
            let old = self.table.replace(hash, |entry| entry.revision() == old, new);
            if let (Some(journal), Some(old)) = (&mut self.journal, old) {
                journal.replaced(hash, new.revision, old);
            }
        }
        self.expiries.add(hash, new.write.expire_time, new.revision);
        self.bytes = self.bytes.saturating_sub(old_cost).saturating_add(new.cost());
    }

    fn insert(&mut self, hash: u64, new: &NewEntry<'_>) {
        if let Some(journal) = &mut self.journal {
            journal.inserted(hash, new.revision);
        }
        self.expiries.add(hash, new.write.expire_time, new.revision);
        self.bytes += new.cost();
        self.table.insert(hash, new);
    }

    /// Takes out the entry of this revision.
    fn remove(&mut self, hash: u64, revision: u64) {
        let Some(entry) = self.table.remove(hash, |entry| entry.revision() == revision) else {
            return;
        };
        self.expiries.remove(hash, entry.as_ref());
        self.bytes = self.bytes.saturating_sub(entry.as_ref().cost());
        if let Some(journal) = &mut self.journal {
            journal.removed(hash, entry);
        }
    }
}
