//! What undoes a batch.

use crate::store::Change;

use super::entry::{Entry, MAX_SHARED, Moved};
use super::state::State;

/// How many bytes are reserved for the entries that a batch may overwrite.
const MAX_RESERVED: usize = 64 << 10;

/// What a batch changed so far: at most one row a step. The entries in it lay in the store before, so it costs no memory to speak of.
pub(super) struct Journal {
    /// The store's revision before the batch.
    pub(super) revision: u64,
    bytes: u64,
    /// How many rows there may be.
    steps: usize,
    rows: Vec<Row>,
    /// The bytes of small entries that were overwritten, in the order of their rows.
    saved: Vec<u8>,
    /// For those who watch, once it is done.
    pub(super) changes: Vec<Change>,
}

enum Row {
    /// An entry of this revision came.
    Inserted { hash: u64, revision: u64 },
    /// An entry of this revision came in the place of another.
    Replaced { hash: u64, revision: u64, old: Moved<'static> },
    /// An entry became one of this revision, in its place; its bytes before it were saved, so many.
    Overwritten { hash: u64, revision: u64, saved: usize },
    /// An entry went.
    Removed { hash: u64, old: Moved<'static> },
}

impl Journal {
    fn push(&mut self, row: Row) {
        if self.rows.is_empty() {
            self.rows.reserve(self.steps);
        }
        self.rows.push(row);
    }

    pub(super) fn inserted(&mut self, hash: u64, revision: u64) {
        self.push(Row::Inserted { hash, revision });
    }

    pub(super) fn replaced(&mut self, hash: u64, revision: u64, old: Moved<'static>) {
        self.push(Row::Replaced { hash, revision, old });
    }

    /// Saves an entry that is about to become that of a write of this revision, unless it is long; tells whether it did.
    pub(super) fn overwritten(&mut self, hash: u64, revision: u64, entry: Entry<'_>) -> bool {
        let slot = entry.slot();
        if slot.len() > MAX_SHARED {
            return false;
        }
        if self.saved.is_empty() {
            self.saved.reserve(self.steps.saturating_mul(slot.len()).min(MAX_RESERVED));
        }
        self.saved.extend_from_slice(slot);
        self.push(Row::Overwritten { hash, revision, saved: slot.len() });
        true
    }

    pub(super) fn removed(&mut self, hash: u64, old: Moved<'static>) {
        self.push(Row::Removed { hash, old });
    }
}

impl State {
    /// From now on, changes can be undone, of about so many steps. No key that the batch touches may have expired: expiries are not for it to undo.
    pub(super) fn open_journal(&mut self, steps: usize) {
        let (rows, saved, changes) = (Vec::new(), Vec::new(), Vec::new());
        self.journal = Some(Journal { revision: self.revision, bytes: self.bytes, steps, rows, saved, changes });
    }

    /// The changes stand.
    pub(super) fn commit(&mut self) {
        let journal = self.journal.take();
        if let (Some(journal), Some(changes)) = (journal, &mut self.changes) {
            journal.changes.into_iter().for_each(|change| changes.append(change));
        }
    }

    /// The changes never were.
    pub(super) fn roll_back(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        for row in journal.rows.into_iter().rev() {
            match row {
                Row::Inserted { hash, revision } => {
                    if let Some(entry) = self.table.remove(hash, |entry| entry.revision() == revision) {
                        self.expiries.remove(hash, entry.as_ref());
                    }
                }
                Row::Replaced { hash, revision, old } => {
                    self.expires_again(hash, old.as_ref());
                    if let Some(entry) = self.table.replace(hash, |entry| entry.revision() == revision, old) {
                        self.expiries.remove(hash, entry.as_ref());
                    }
                }
                Row::Overwritten { hash, revision, saved } => {
                    let bytes = journal.saved.split_off(journal.saved.len().saturating_sub(saved));
                    self.expires_again(hash, Entry::of(&bytes));
                    let place = self.table.locate(hash, |entry| entry.revision() == revision);
                    if let Some(mut entry) = place.and_then(|place| self.table.get_mut(place)) {
                        self.expiries.remove(hash, entry.as_ref());
                        entry.restore(&bytes);
                    }
                }
                Row::Removed { hash, old } => {
                    self.expires_again(hash, old.as_ref());
                    self.table.insert(hash, old);
                }
            }
        }
        self.revision = journal.revision;
        self.bytes = journal.bytes;
    }
    fn expires_again(&mut self, hash: u64, entry: Entry<'_>) {
        self.expiries.add(hash, entry.expire_time(), entry.revision());
    }
}
