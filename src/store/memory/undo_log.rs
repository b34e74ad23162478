//! The undo log: what takes a batch back that fails.

use crate::store::Change;

use super::map::{MAX_SHARED, MapSlot, OwnedSlot};
use super::state::StoreState;

/// Bytes that are reserved at most for the slots that a batch overwrites.
const MAX_RESERVED: usize = 64 << 10;

/// Changes of a batch so far: at most one row for each step. The slots in it were in the store
/// before, so it takes little memory of its own.
#[derive(Default)]
pub(super) struct UndoLog {
    /// Store's revision before the batch.
    pub(super) revision: u64,
    /// Store's bytes before the batch.
    bytes: u64,
    /// Maximum number of rows.
    steps: usize,
    rows: Vec<UndoRow>,
    /// Bytes of the slots that were overwritten, in the order of their rows.
    overwritten: Vec<u8>,
    /// Slots that were taken out, in the order of their rows.
    taken: Vec<OwnedSlot<'static>>,
    /// Changes for watches, which get them once the batch is done.
    pub(super) changes: Vec<Change>,
}

/// Change of one entry.
struct UndoRow {
    hash: u64,
    /// Entry's revision after the change; for a removal, that of the entry removed.
    revision: u64,
    kind: UndoKind,
}

enum UndoKind {
    /// A new entry.
    Inserted,
    /// A new entry in place of another, which is in `taken`.
    Replaced,
    /// An entry overwritten in its slot, whose length this is; the old bytes are in `overwritten`.
    Overwritten(u32),
    /// An entry removed; it is in `taken`.
    Removed,
}

impl UndoLog {
    fn push(&mut self, hash: u64, revision: u64, kind: UndoKind) {
        if self.rows.is_empty() {
            self.rows.reserve(self.steps);
        }
        self.rows.push(UndoRow { hash, revision, kind });
    }

    pub(super) fn inserted(&mut self, hash: u64, revision: u64) {
        self.push(hash, revision, UndoKind::Inserted);
    }

    pub(super) fn replaced(&mut self, hash: u64, revision: u64, old: OwnedSlot<'static>) {
        self.taken.push(old);
        self.push(hash, revision, UndoKind::Replaced);
    }

    /// Saves a slot that a write of this revision is about to overwrite. Returns false for a long
    /// slot, which is not saved: it is to be replaced instead.
    pub(super) fn overwritten(&mut self, hash: u64, revision: u64, slot: MapSlot<'_>) -> bool {
        let bytes = slot.bytes();
        let Some(len) = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_SHARED)
        else {
            return false;
        };
        if self.overwritten.is_empty() {
            self.overwritten.reserve(self.steps.saturating_mul(bytes.len()).min(MAX_RESERVED));
        }
        self.overwritten.extend_from_slice(bytes);
        self.push(hash, revision, UndoKind::Overwritten(len));
        true
    }

    pub(super) fn removed(&mut self, hash: u64, old: OwnedSlot<'static>) {
        let revision = old.as_ref().revision();
        self.taken.push(old);
        self.push(hash, revision, UndoKind::Removed);
    }
}

impl StoreState {
    /// Starts to log changes, about `steps` of them, so that they can be undone. Expired keys that
    /// the batch touches must have been removed before: expiries are not undone.
    pub(super) fn open_undo_log(&mut self, steps: usize) {
        self.undo_log = Some(UndoLog {
            revision: self.revision,
            bytes: self.bytes,
            steps,
            ..UndoLog::default()
        });
    }

    /// Keeps the changes since [`open_undo_log`](Self::open_undo_log).
    pub(super) fn commit(&mut self) {
        let log = self.undo_log.take();
        if let (Some(log), Some(changes)) = (log, &mut self.changes) {
            log.changes.into_iter().for_each(|change| changes.append(change));
        }
    }

    /// Undoes the changes since [`open_undo_log`](Self::open_undo_log), the latest first.
    pub(super) fn roll_back(&mut self) {
        let Some(mut log) = self.undo_log.take() else { return };
        for UndoRow { hash, revision, kind } in log.rows.into_iter().rev() {
            match kind {
                UndoKind::Inserted => {
                    if let Some(new) = self.map.remove(hash, revision) {
                        self.expiries.remove(hash, new.as_ref());
                    }
                }
                UndoKind::Replaced => {
                    let Some(old) = log.taken.pop() else { continue };
                    self.restore_expiry(hash, old.as_ref());
                    if let Some(new) = self.map.replace(hash, revision, old) {
                        self.expiries.remove(hash, new.as_ref());
                    }
                }
                UndoKind::Overwritten(len) => {
                    let start = log.overwritten.len().saturating_sub(len as usize);
                    let bytes = log.overwritten.split_off(start);
                    self.restore_expiry(hash, MapSlot::of(&bytes));
                    let location = self.map.locate_revision(hash, revision);
                    if let Some(mut slot) = location.and_then(|at| self.map.get_mut(at)) {
                        self.expiries.remove(hash, slot.as_ref());
                        slot.restore(&bytes);
                    }
                }
                UndoKind::Removed => {
                    let Some(old) = log.taken.pop() else { continue };
                    self.restore_expiry(hash, old.as_ref());
                    self.map.insert(hash, old);
                }
            }
        }
        self.revision = log.revision;
        self.bytes = log.bytes;
    }

    fn restore_expiry(&mut self, hash: u64, slot: MapSlot<'_>) {
        self.expiries.add(hash, slot.expire_time(), slot.revision());
    }
}
