//! Changes that a store keeps for watches.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{PutRef, UnixMillis, Value};
use crate::store::feed::{Feed, Follower, Weight};
use crate::store::{CHANGES_KEPT_FOR, Change, ChangeKind, KEPT_CHANGES};

use super::engine::MemoryShared;
use super::map::to_key;

/// Bytes that a change counts beside its key and value.
const CHANGE_BYTES: usize = 160;

/// Latest changes of a store that was listed or is watched. Other stores have none, and pay one
/// branch for each write.
pub(super) struct Changes {
    feed: Arc<Feed<Change>>,
    /// Time of the last listing or watch.
    used: UnixMillis,
    /// Bytes that the engine has counted.
    counted: u64,
    /// True if followers have not been woken yet for the latest changes.
    fresh: bool,
}

impl Changes {
    /// Starts to keep changes after this revision.
    pub(super) fn new(revision: u64, now: UnixMillis) -> Self {
        Self { feed: Feed::new(revision, KEPT_CHANGES), used: now, counted: 0, fresh: false }
    }

    /// Records a listing or watch.
    pub(super) fn mark_used(&mut self, now: UnixMillis) {
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
        // Key and value are kept a second time once the change was encoded.
        let bytes = CHANGE_BYTES + 2 * (change.key.as_str().len() + value);
        self.feed.append(change, Weight { counts: true, bytes });
        self.fresh = true;
    }

    /// Returns when they are no longer needed, if there is no other use until then.
    pub(super) fn due(&self) -> UnixMillis {
        self.used.saturating_add(CHANGES_KEPT_FOR)
    }

    /// Returns true if they are no longer needed. A follower is a use.
    pub(super) fn are_over(&mut self, now: UnixMillis) -> bool {
        if self.due() > now {
            return false;
        }
        // Followers are added only under the store's lock, so a feed without any stays so.
        if Arc::strong_count(&self.feed) > 1 {
            self.used = now;
            return false;
        }
        true
    }

    /// Reports to the engine what is kept, and wakes followers if there are new changes.
    pub(super) fn settle(&mut self, shared: &MemoryShared) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        if !self.count(shared) {
            self.feed.trim(0);
            self.count(shared);
        }
        self.feed.wake();
    }

    /// Reports to the engine what is kept; returns false if all stores together keep too much.
    fn count(&mut self, shared: &MemoryShared) -> bool {
        let bytes = self.feed.bytes() as u64;
        let (before, fits) = (self.counted, shared.count_changes(self.counted, bytes));
        self.counted = bytes;
        fits || bytes <= before
    }

    /// Gives back what the engine has counted.
    pub(super) fn close(self, shared: &MemoryShared) {
        shared.count_changes(self.counted, 0);
    }
}

impl Change {
    /// Change by a put; `None` if its key is not a valid one, which does not happen.
    pub(super) fn of(put: &PutRef<'_>) -> Option<Self> {
        // Copied, since the value received may be a slice of a much larger message.
        let value = Value::kept(Bytes::copy_from_slice(put.value), put.text);
        let kind = ChangeKind::Put { value, expire_time: put.expire_time };
        Some(Self { key: to_key(put.key).ok()?, kind })
    }

    /// Change by a removal or an expiry; `None` as for [`of`](Self::of).
    pub(super) fn gone(key: &[u8], expired: bool) -> Option<Self> {
        Some(Self { key: to_key(key).ok()?, kind: ChangeKind::Delete { expired } })
    }
}
