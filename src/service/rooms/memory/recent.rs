//! The messages that a user said lately in a room, by the ids that make their resends harmless.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use super::refusal;
use crate::model::{Result, Saying, UnixMillis};
use crate::store::REQUEST_ID_WINDOW;

/// How many ids of a user are remembered in a room.
pub(super) const MAX_RECENT: usize = 1_000;
/// What each counts among a room's bytes, beside its own.
const RECENT_BYTES: usize = 96;

/// The ids of one user in one room, the oldest first.
#[derive(Default)]
pub(super) struct Recent {
    hasher: RandomState,
    order: VecDeque<Said>,
    /// The number of each id's record, counted from the first that ever was.
    index: HashMap<Box<str>, u64>,
    gone: u64,
    bytes: usize,
}

struct Said {
    id: Box<str>,
    text: u64,
    sequence: u64,
    time: UnixMillis,
}

impl Recent {
    /// The place at which the message was said before.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if another text was.
    pub(super) fn find(&self, id: &str, saying: &Saying) -> Result<Option<u64>> {
        let number = self.index.get(id).and_then(|number| usize::try_from(number - self.gone).ok());
        let Some(said) = number.and_then(|number| self.order.get(number)) else { return Ok(None) };
        if said.text == self.hasher.hash_one(saying.text()) {
            return Ok(Some(said.sequence));
        }
        Err(refusal::id_reused())
    }

    /// Remembers a message.
    pub(super) fn add(&mut self, id: &str, saying: &Saying, sequence: u64, now: UnixMillis) {
        let number = self.gone + self.order.len() as u64;
        self.index.insert(id.into(), number);
        self.order.push_back(Said {
            id: id.into(),
            text: self.hasher.hash_one(saying.text()),
            sequence,
            time: now,
        });
        self.bytes += RECENT_BYTES + 2 * id.len();
        self.forget(now, MAX_RECENT);
    }

    /// Forgets what is too old, and the oldest of what is more than `most`.
    pub(super) fn forget(&mut self, now: UnixMillis, most: usize) {
        while let Some(first) = self.order.front()
            && (self.order.len() > most || first.time.saturating_add(REQUEST_ID_WINDOW) <= now)
        {
            self.bytes = self.bytes.saturating_sub(RECENT_BYTES + 2 * first.id.len());
            self.index.remove(&first.id);
            self.order.pop_front();
            self.gone += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
