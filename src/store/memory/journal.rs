//! What undoes a batch.

use crate::store::Change;

use super::entry::Entry;
use super::state::State;

/// What a batch changed so far: at most one row a step. The entries in it lay in the store before, so it costs no memory to speak of.
pub(super) struct Journal {
    /// The store's revision before the batch.
    pub(super) revision: u64,
    bytes: u64,
    /// How many rows there may be.
    steps: usize,
    rows: Vec<Row>,
    /// For those who watch, once it is done.
    pub(super) changes: Vec<Change>,
}

enum Row {
    /// An entry of this revision came.
    Inserted { hash: u64, revision: u64 },
    /// An entry of this revision came in the place of another.
    Replaced { hash: u64, revision: u64, old: Entry },
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

    pub(super) fn removed(&mut self, hash: u64, old: Entry) {
        self.push(Row::Removed { hash, old });
    }
}

impl State {
    /// From now on, changes can be undone, of about so many steps. No key that the batch touches may have expired: expiries are not for it to undo.
    pub(super) fn open_journal(&mut self, steps: usize) {
        let (rows, changes) = (Vec::new(), Vec::new());
        self.journal = Some(Journal { revision: self.revision, bytes: self.bytes, steps, rows, changes });
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
        let Some(journal) = self.journal.take() else { return };
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
