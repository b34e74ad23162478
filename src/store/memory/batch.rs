//! Batches: all of the operations, or none.

use crate::model::{
    Error, MAX_MESSAGE_BYTES, OperationRef, Operations, Outcome, Reason, Result, UnixMillis,
};

use super::engine::MemoryShared;
use super::state::StoreState;

/// Bytes that each outcome counts in a reply beside its value: at least what its fields take.
const OUTCOME_BYTES: usize = 64;

/// Number of keys from which most of a store is in no cache.
const WARM_FROM_KEYS: usize = 10_000;

impl StoreState {
    /// Removes those keys of the operations that have expired.
    pub(super) fn expire_all_if_due(
        &mut self,
        hashes: &[u64],
        operations: &Operations,
        now: UnixMillis,
    ) {
        if !self.expiries.is_any_due(now) {
            return;
        }
        for (hash, operation) in hashes.iter().zip(operations.iter()) {
            self.expire_if_due(*hash, operation.key(), now);
        }
    }

    /// Runs `changes`, and undoes them if they fail.
    pub(super) fn atomically<T>(
        &mut self,
        steps: usize,
        changes: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.open_undo_log(steps);
        let done = changes(self);
        if done.is_ok() {
            self.commit();
        } else {
            self.roll_back();
        }
        done
    }

    /// Runs the operations, whose keys have these hashes, up to the first that fails;
    /// [`atomically`](Self::atomically) undoes those before it.
    ///
    /// # Errors
    /// Those of [`put`](Self::put) and [`delete`](Self::delete), and `INVALID_BATCH`, with the
    /// operation's index.
    pub(super) fn run(
        &mut self,
        hashes: &[u64],
        operations: &Operations,
        now: UnixMillis,
        shared: &MemoryShared,
    ) -> Result<Vec<Outcome>> {
        if self.map.len() >= WARM_FROM_KEYS {
            self.map.warm(hashes);
        }
        let mut outcomes = Vec::with_capacity(operations.len());
        let mut reply_bytes = 0;
        for (index, (hash, operation)) in hashes.iter().zip(operations.iter()).enumerate() {
            let outcome = self
                .run_one(*hash, operation, now, shared)
                .map_err(|error| error.in_operation(index))?;
            reply_bytes += OUTCOME_BYTES;
            if let Outcome::Get(Some(entry)) = &outcome {
                reply_bytes += entry.value.as_bytes().len();
            }
            // A small request could otherwise read a thousand values of 1 MiB, under the lock, for
            // a reply that nobody can receive.
            if reply_bytes > MAX_MESSAGE_BYTES {
                let message = format!(
                    "the batch's gets come to more than {MAX_MESSAGE_BYTES} bytes with this one"
                );
                return Err(Error::new(Reason::InvalidBatch, message).in_operation(index));
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    #[inline]
    fn run_one(
        &mut self,
        hash: u64,
        operation: OperationRef<'_>,
        now: UnixMillis,
        shared: &MemoryShared,
    ) -> Result<Outcome> {
        match operation {
            OperationRef::Get { key } => Ok(Outcome::Get(self.read(hash, key))),
            OperationRef::Put(put) => {
                Ok(Outcome::Put { revision: self.put(hash, &put, now, shared)? })
            }
            OperationRef::Delete { key, if_revision } => {
                Ok(Outcome::Delete { deleted: self.delete(hash, key, if_revision)? })
            }
        }
    }
}
