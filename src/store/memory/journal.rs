//! What undoes a batch.

use crate::store::Change;

use super::entry::{Entry, MAX_SHARED, Moved};
use super::state::State;

/// How many bytes are reserved for the entries that a batch may overwrite.
const MAX_RESERVED: usize = 64 << 10;

/// What a batch changed so far: at most one row a step. The entries in it lay in the store before,
/// so it costs no memory to speak of.
#[derive(Default)]
pub(super) struct Journal {
    /// The store's revision before the batch.
    pub(super) revision: u64,
    bytes: u64,
    /// How many rows there may be.
    steps: usize,
    rows: Vec<Row>,
    /// The bytes of short entries that were overwritten, in the order of their rows.
    saved: Vec<u8>,
    /// The entries that were taken out, in the order of their rows.
    taken: Vec<Moved<'static>>,
    /// For those who watch, once it is done.
    pub(super) changes: Vec<Change>,
}

/// A change of one entry.
struct Row {
    hash: u64,
    /// The entry's revision after it; that of the one that went, if it is a removal.
    revision: u64,
    change: RowChange,
}

enum RowChange {
    /// An entry came.
    Inserted,
    /// An entry came in the place of another, which is among those that were taken out.
    Replaced,
    /// An entry changed in its place; its bytes before that were saved, so many.
    Overwritten(u32),
    /// An entry went, and is among those that were taken out.
    Removed,
}

impl Journal {
    fn push(&mut self, hash: u64, revision: u64, change: RowChange) {
        if self.rows.is_empty() {
            self.rows.reserve(self.steps);
        }
        self.rows.push(Row { hash, revision, change });
    }

    pub(super) fn inserted(&mut self, hash: u64, revision: u64) {
        self.push(hash, revision, RowChange::Inserted);
    }

    pub(super) fn replaced(&mut self, hash: u64, revision: u64, old: Moved<'static>) {
        self.taken.push(old);
        self.push(hash, revision, RowChange::Replaced);
    }

    /// Saves an entry that is about to become that of a write of this revision, unless it is long;
    /// tells whether it did.
    pub(super) fn overwritten(&mut self, hash: u64, revision: u64, entry: Entry<'_>) -> bool {
        let slot = entry.slot();
        let Some(len) = u32::try_from(slot.len()).ok().filter(|_| slot.len() <= MAX_SHARED) else {
            return false;
        };
        if self.saved.is_empty() {
            self.saved.reserve(self.steps.saturating_mul(slot.len()).min(MAX_RESERVED));
        }
        self.saved.extend_from_slice(slot);
        self.push(hash, revision, RowChange::Overwritten(len));
        true
    }

    pub(super) fn removed(&mut self, hash: u64, old: Moved<'static>) {
        let revision = old.as_ref().revision();
        self.taken.push(old);
        self.push(hash, revision, RowChange::Removed);
    }
}

impl State {
    /// From now on, changes can be undone, of about so many steps. No key that the batch touches
    /// may have expired: expiries are not for it to undo.
    pub(super) fn open_journal(&mut self, steps: usize) {
        self.journal = Some(Journal {
            revision: self.revision,
            bytes: self.bytes,
            steps,
            ..Journal::default()
        });
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
        for Row { hash, revision, change } in journal.rows.into_iter().rev() {
            match change {
                RowChange::Inserted => {
                    if let Some(entry) =
                        self.table.remove(hash, |entry| entry.revision() == revision)
                    {
                        self.expiries.remove(hash, entry.as_ref());
                    }
                }
                RowChange::Replaced => {
                    let Some(old) = journal.taken.pop() else { continue };
                    self.expires_again(hash, old.as_ref());
                    if let Some(entry) =
                        self.table.replace(hash, |entry| entry.revision() == revision, old)
                    {
                        self.expiries.remove(hash, entry.as_ref());
                    }
                }
                RowChange::Overwritten(len) => {
                    let start = journal.saved.len().saturating_sub(len as usize);
                    let bytes = journal.saved.split_off(start);
                    self.expires_again(hash, Entry::of(&bytes));
                    let place = self.table.locate(hash, |entry| entry.revision() == revision);
                    if let Some(mut entry) = place.and_then(|place| self.table.get_mut(place)) {
                        self.expiries.remove(hash, entry.as_ref());
                        entry.restore(&bytes);
                    }
                }
                RowChange::Removed => {
                    let Some(old) = journal.taken.pop() else { continue };
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
