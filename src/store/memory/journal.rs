//! What undoes a batch.

use crate::model::PutRef;
use crate::store::Change;

use super::entry::Entry;
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
    Replaced { hash: u64, revision: u64, old: Entry },
    /// An entry became one of this revision, in its place; its bytes before it were saved, so many.
    Overwritten { hash: u64, revision: u64, saved: usize },
    /// An entry went.
    Removed { hash: u64, old: Entry },
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

    pub(super) fn replaced(&mut self, hash: u64, revision: u64, old: Entry) {
        self.push(Row::Replaced { hash, revision, old });
    }

    /// Saves an entry that is about to become that of a write of this revision, if it can; tells whether it did.
    pub(super) fn overwritten(&mut self, hash: u64, revision: u64, entry: &Entry, write: &PutRef<'_>) -> bool {
        if self.saved.is_empty() {
            self.saved.reserve(self.steps.saturating_mul(entry.len()).min(MAX_RESERVED));
        }
        let Some(saved) = entry.save_for(write, &mut self.saved) else { return false };
        self.push(Row::Overwritten { hash, revision, saved });
        true
    }

    pub(super) fn removed(&mut self, hash: u64, old: Entry) {
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
                        self.expiries.remove(hash, &entry);
                    }
                }
                Row::Replaced { hash, revision, old } => {
                    if let Some(entry) = self.table.find_mut(hash, |entry| entry.revision() == revision) {
                        self.expiries.remove(hash, entry);
                        self.expiries.add(hash, &old);
                        *entry = old;
                    }
                }
                Row::Overwritten { hash, revision, saved } => {
                    let bytes = journal.saved.split_off(journal.saved.len().saturating_sub(saved));
                    if let Some(entry) = self.table.find_mut(hash, |entry| entry.revision() == revision) {
                        self.expiries.remove(hash, entry);
                        entry.restore(&bytes);
                        self.expiries.add(hash, entry);
                    }
                }
                Row::Removed { hash, old } => {
                    self.expiries.add(hash, &old);
                    self.table.insert(hash, old);
                }
            }
        }
        self.revision = journal.revision;
        self.bytes = journal.bytes;
    }
}
