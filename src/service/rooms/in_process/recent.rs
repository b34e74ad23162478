//! A user's recent messages in a room, by the ids that make resends harmless.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::refusal;
use crate::model::{ChatMessage, Result, UnixMillis};
use crate::store::REQUEST_ID_WINDOW;

/// Maximum number of ids that are remembered for a user in a room.
pub(super) const MAX_RECENT: usize = 1_000;
/// Size that a message counts for in a room's memory, beside its id.
const RECENT_BYTES: usize = 96;

/// The messages of one user in one room that had ids.
#[derive(Default)]
pub(super) struct RecentMessages {
    hasher: RandomState,
    by_id: HashMap<Arc<str>, RecentMessage>,
    /// The ids, the oldest first.
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

struct RecentMessage {
    /// Hash of the text.
    text: u64,
    sequence: u64,
    time: UnixMillis,
}

impl RecentMessages {
    /// Returns the sequence of the message that was published with this id.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if its text was another one.
    pub(super) fn find(&self, id: &str, message: &ChatMessage) -> Result<Option<u64>> {
        match self.by_id.get(id) {
            None => Ok(None),
            Some(known) if known.text == self.hasher.hash_one(message.text()) => {
                Ok(Some(known.sequence))
            }
            Some(_) => Err(refusal::id_reused()),
        }
    }

    /// Adds a message whose id is not known.
    pub(super) fn add(&mut self, id: &str, message: &ChatMessage, sequence: u64, now: UnixMillis) {
        let text = self.hasher.hash_one(message.text());
        let id: Arc<str> = id.into();
        self.bytes += size(&id);
        self.by_id.insert(Arc::clone(&id), RecentMessage { text, sequence, time: now });
        self.order.push_back(id);
        self.forget(now, MAX_RECENT);
    }

    /// Forgets messages that are too old, and the oldest of more than `limit`.
    pub(super) fn forget(&mut self, now: UnixMillis, limit: usize) {
        let is_old = |known: &RecentMessage| known.time.saturating_add(REQUEST_ID_WINDOW) <= now;
        while let Some(first) = self.order.front()
            && (self.order.len() > limit || self.by_id.get(first).is_none_or(is_old))
        {
            self.bytes = self.bytes.saturating_sub(size(first));
            self.by_id.remove(first);
            self.order.pop_front();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

fn size(id: &str) -> usize {
    RECENT_BYTES + 2 * id.len()
}
