//! Batches: all of the operations, or none.

use crate::model::{
    Error, MAX_MESSAGE_BYTES, OperationRef, Operations, Outcome, Reason, Result, UnixMillis,
};
use crate::store::seeded::{self, Bug};

use super::engine::Shared;
use super::state::State;

/// What each outcome counts in a reply beside its value, in bytes: its fields take less.
const OUTCOME_BYTES: usize = 64;

/// From so many keys on, most of a store is in no cache.
const WARM_FROM_KEYS: usize = 10_000;

impl State {
    /// Takes out those keys of the operations that have expired.
    pub(super) fn touch_all(&mut self, hashes: &[u64], operations: &Operations, now: UnixMillis) {
        if !self.expiries.is_any_due(now) {
            return;
        }
        for (hash, operation) in hashes.iter().zip(operations.iter()) {
            self.touch(*hash, operation.key(), now);
        }
    }

    /// Does `changes`, or undoes those of them that it did before it failed.
    pub(super) fn atomically<T>(
        &mut self,
        steps: usize,
        changes: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.open_journal(steps);
        let done = changes(self);
        if done.is_ok() || seeded::on(Bug::BatchHalfApplied) {
            self.commit();
        } else {
            self.roll_back();
        }
        done
    }

    /// Does the operations, whose keys have these hashes; the first that fails ends it, and leaves
    /// it to [`atomically`](Self::atomically) to undo those before.
    pub(super) fn run(
        &mut self,
        hashes: &[u64],
        operations: &Operations,
        now: UnixMillis,
        shared: &Shared,
    ) -> Result<Vec<Outcome>> {
        if self.table.len() >= WARM_FROM_KEYS {
            self.table.warm(hashes);
        }
        let mut outcomes = Vec::with_capacity(operations.len());
        let mut reply_bytes = 0;
        for (index, (hash, operation)) in hashes.iter().zip(operations.iter()).enumerate() {
            let outcome = self
                .one(*hash, operation, now, shared)
                .map_err(|error| error.in_operation(index))?;
            reply_bytes += OUTCOME_BYTES;
            if let Outcome::Get(Some(entry)) = &outcome {
                reply_bytes += entry.value.as_bytes().len();
            }
            // A batch of small requests may read a thousand values of 1 MiB, under the lock, for a
            // reply that nobody can receive.
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
    fn one(
        &mut self,
        hash: u64,
        operation: OperationRef<'_>,
        now: UnixMillis,
        shared: &Shared,
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
