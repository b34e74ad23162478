//! The changes that a store keeps for those who watch it.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{PutRef, UnixMillis, Value};
use crate::store::feed::{Feed, Follower, Weight};
use crate::store::{CHANGES_KEPT_FOR, Change, ChangeKind, KEPT_CHANGES};

use super::engine::Shared;
use super::entry;

/// What a change counts beside its key and value.
const CHANGE_BYTES: usize = 160;

/// The latest changes of a store that somebody listed or watches. All others have none, and pay one
/// branch a write.
pub(super) struct Changes {
    feed: Arc<Feed<Change>>,
    /// When the store was last listed or watched.
    used: UnixMillis,
    /// What it counts in the engine's sum.
    counted: u64,
    /// Whether there are some that nobody was woken for.
    fresh: bool,
}

impl Changes {
    /// Those behind this revision.
    pub(super) fn new(revision: u64, now: UnixMillis) -> Self {
        Self { feed: Feed::new(revision, KEPT_CHANGES), used: now, counted: 0, fresh: false }
    }

    /// Counts as a use.
    pub(super) fn touch(&mut self, now: UnixMillis) {
        self.used = now;
    }

    pub(super) fn follow(&self, after: u64) -> Follower<Change> {
        self.feed.follow(after)
    }

    pub(super) fn append(&mut self, change: Change) {
        let value = match &change.kind {
            ChangeKind::Put { value, .. } => value.as_bytes().len(),
            ChangeKind::Delete { .. } => 0,
        };
        // Key and value are kept twice once they were encoded.
        let bytes = CHANGE_BYTES + 2 * (change.key.as_str().len() + value);
        self.feed.append(change, Weight { counts: true, bytes });
        self.fresh = true;
    }

    /// When it is time to see whether anybody still needs them.
    pub(super) fn due(&self) -> UnixMillis {
        self.used.saturating_add(CHANGES_KEPT_FOR)
    }

    /// Whether nobody needs them any more. One who follows is a use.
    pub(super) fn are_over(&mut self, now: UnixMillis) -> bool {
        if self.due() > now {
            return false;
        }
        // Followers come only under the store's lock, so one alone stays alone.
        if Arc::strong_count(&self.feed) > 1 {
            self.used = now;
            return false;
        }
        true
    }

    /// Tells the engine what is kept, and those who follow that there is more.
    pub(super) fn settle(&mut self, shared: &Shared) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        if !self.count(shared) {
            self.feed.trim(0);
            self.count(shared);
        }
        self.feed.wake();
    }

    /// False if all stores together keep too much.
    fn count(&mut self, shared: &Shared) -> bool {
        let bytes = self.feed.bytes() as u64;
        let (before, fits) = (self.counted, shared.count_changes(self.counted, bytes));
        self.counted = bytes;
        fits || bytes <= before
    }

    /// Gives back what it counts.
    pub(super) fn close(self, shared: &Shared) {
        shared.count_changes(self.counted, 0);
    }
}

impl Change {
    pub(super) fn of(put: &PutRef<'_>) -> Option<Self> {
        // A copy: what was received may be a slice of something much larger.
        let value = Value::kept(Bytes::copy_from_slice(put.value), put.text);
        let kind = ChangeKind::Put { value, expire_time: put.expire_time };
        Some(Self { key: entry::to_key(put.key).ok()?, kind })
    }

    pub(super) fn gone(key: &[u8], expired: bool) -> Option<Self> {
        Some(Self { key: entry::to_key(key).ok()?, kind: ChangeKind::Delete { expired } })
    }
}
