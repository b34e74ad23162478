//! The seeded bugs that take more than a line.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{PutRef, Result};
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
pub(super) fn check_unlocked<'a>(store: &MemoryStore, mut put: PutRef<'a>) -> Result<PutRef<'a>> {
    if seeded::on(Bug::TwoCasWinners) {
        let hash = store.0.hash(put.key);
        store.0.lock().state.check_key(hash, &put)?;
        std::thread::yield_now();
        put.if_revision = None;
    }
    Ok(put)
}
