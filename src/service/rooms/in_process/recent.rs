//! A user's recent messages in a room, by the ids that make resends harmless.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use super::refusal;
use crate::model::{ChatMessage, Millis, Result};
use crate::store::REQUEST_ID_WINDOW;

/// Maximum number of ids that are remembered for a user in a room.
pub(super) const MAX_RECENT: usize = 1_000;
/// Size that a message counts for in a room's memory, beside its id.
const RECENT_BYTES: usize = 96;

/// The messages of one user in one room that had ids, the oldest first.
#[derive(Default)]
pub(super) struct RecentMessages {
    hasher: RandomState,
    order: VecDeque<RecentMessage>,
    /// Number of each id's message, counted from the first one ever.
    index: HashMap<Box<str>, u64>,
    /// Number of messages that are forgotten.
    forgotten: u64,
    bytes: usize,
}

struct RecentMessage {
    id: Box<str>,
    /// Hash of the text.
    text: u64,
    sequence: u64,
    time: Millis,
}

impl RecentMessages {
    /// Returns the sequence of the message that was published with this id.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if its text was another one.
    pub(super) fn find(&self, id: &str, message: &ChatMessage) -> Result<Option<u64>> {
        let number =
            self.index.get(id).and_then(|number| usize::try_from(number - self.forgotten).ok());
        let Some(known) = number.and_then(|number| self.order.get(number)) else { return Ok(None) };
        if known.text == self.hasher.hash_one(message.text()) {
            return Ok(Some(known.sequence));
        }
        Err(refusal::id_reused())
    }

    /// Adds a message.
    pub(super) fn add(&mut self, id: &str, message: &ChatMessage, sequence: u64, now: Millis) {
        let number = self.forgotten + self.order.len() as u64;
        self.index.insert(id.into(), number);
        self.order.push_back(RecentMessage {
            id: id.into(),
            text: self.hasher.hash_one(message.text()),
            sequence,
            time: now,
        });
        self.bytes += RECENT_BYTES + 2 * id.len();
        self.forget(now, MAX_RECENT);
    }

    /// Forgets messages that are too old, and the oldest of more than `limit`.
    pub(super) fn forget(&mut self, now: Millis, limit: usize) {
        let window = u64::try_from(REQUEST_ID_WINDOW.as_millis()).unwrap_or(u64::MAX);
        while let Some(first) = self.order.front()
            && (self.order.len() > limit || first.time.saturating_add(window) <= now)
        {
            self.bytes = self.bytes.saturating_sub(RECENT_BYTES + 2 * first.id.len());
            self.index.remove(&first.id);
            self.order.pop_front();
            self.forgotten += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
