//! Batches: all of the steps, or none.

use crate::model::{Error, MAX_MESSAGE_BYTES, Millis, Outcome, Reason, Result};
use crate::store::Step;
use crate::store::seeded::{self, Bug};

use super::engine::Shared;
use super::state::State;

/// What each outcome counts in a reply beside its value, in bytes: its fields take less.
const OUTCOME_BYTES: usize = 64;

/// From so many keys on, most of a store is in no cache.
const WARM_FROM_KEYS: usize = 10_000;

impl State {
    /// Takes out those keys of the steps that have expired.
    pub(super) fn touch_all(&mut self, hashes: &[u64], steps: &[Step], now: Millis) {
        if self.expiries.next() > now {
            return;
        }
        for (hash, step) in hashes.iter().zip(steps) {
            self.touch(*hash, key_of(step), now);
        }
    }

    /// Does `changes`, or undoes those of them that it did before it failed.
    pub(super) fn atomically<T>(&mut self, steps: usize, changes: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.open_journal(steps);
        let done = changes(self);
        if done.is_ok() || seeded::on(Bug::BatchHalfApplied) {
            self.commit();
        } else {
            self.roll_back();
        }
        done
    }

    /// Does the steps, whose keys have these hashes; the first that fails ends it, and leaves it to [`atomically`](Self::atomically) to undo those before.
    pub(super) fn run(&mut self, hashes: &[u64], steps: &[Step], now: Millis, shared: &Shared) -> Result<Vec<Outcome>> {
        if self.table.len() >= WARM_FROM_KEYS {
            self.table.warm(hashes.iter().copied());
        }
        let mut outcomes = Vec::with_capacity(steps.len());
        let mut reply_bytes = 0;
        for (index, (hash, step)) in hashes.iter().zip(steps).enumerate() {
            let outcome = self.step(*hash, step, now, shared).map_err(|error| error.in_operation(index))?;
            reply_bytes += OUTCOME_BYTES;
            if let Outcome::Get(Some(entry)) = &outcome {
                reply_bytes += entry.value.as_bytes().len();
            }
            // A batch of small requests may read a thousand values of 1 MiB, under the lock, for a reply that nobody can receive.
            if reply_bytes > MAX_MESSAGE_BYTES {
                let message = format!("the batch's gets come to more than {MAX_MESSAGE_BYTES} bytes with this one");
                return Err(Error::new(Reason::InvalidBatch, message).in_operation(index));
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn step(&mut self, hash: u64, step: &Step, now: Millis, shared: &Shared) -> Result<Outcome> {
        match step {
            Step::Get { key } => Ok(Outcome::Get(self.read(hash, key.as_str()))),
            Step::Put(write) => Ok(Outcome::Put { revision: self.put(hash, write, now, shared)? }),
            Step::Delete(delete) => Ok(Outcome::Delete { deleted: self.delete(hash, delete)? }),
        }
    }
}

/// The key that a step is about.
pub(super) fn key_of(step: &Step) -> &str {
    match step {
        Step::Get { key } => key.as_str(),
        Step::Put(write) => write.key.as_str(),
        Step::Delete(delete) => delete.key.as_str(),
    }
}
