//! The seeded bugs that take more than a line.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::Result;
use crate::store::Write;
use crate::store::seeded::{self, Bug};

use super::MemoryStore;

static LAST: Mutex<Option<MemoryStore>> = Mutex::new(None);

/// The store into which a put goes.
pub(super) fn target(store: &MemoryStore) -> MemoryStore {
    if !seeded::on(Bug::WriteIntoAnotherStore) {
        LAST.lock().take();
        return store.clone();
    }
    let last = LAST.lock().replace(store.clone());
    last.filter(|last| Arc::ptr_eq(&last.0.shared, &store.0.shared))
        .unwrap_or_else(|| store.clone())
}

/// Looks at the condition of a put before the put does, which then has none.
pub(super) fn check_unlocked(store: &MemoryStore, mut write: Write) -> Result<Write> {
    if seeded::on(Bug::TwoCasWinners) {
        let hash = store.0.hash(write.key.as_str().as_bytes());
        store.0.lock().state.check_key(hash, &write.to_ref())?;
        std::thread::yield_now();
        write.if_revision = None;
    }
    Ok(write)
}
