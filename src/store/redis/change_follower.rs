//! Change followers: the changes of a store, whichever server makes them.
//!
//! Redis sends a connection an invalidation when a key that it has read changes (client tracking).
//! So the stream of changes is read once, and again after each invalidation of its key; and every
//! second in any case, since a node that is gone sends nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Pipeline, PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::reply;
use super::store::RedisStoreInner;
use crate::model::{Error, Key, Position, Result};
use crate::store::feed::{Feed, Weight};
use crate::store::{Change, ChangeKind, KEPT_CHANGES, MAX_CHANGE_BYTES, Watched};

/// Interval at which a watched store is read without an invalidation.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Shortest wait for the next key that expires.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Maximum number of changes that are read at a time.
const CHANGES_PER_READ: usize = 200;
/// Maximum number of expired keys that are removed at a time.
const EXPIRED_PER_READ: usize = 256;
/// Bytes that a change counts beside its key and value.
const CHANGE_BYTES: usize = 160;

/// Followers of this process, by the key of the store's changes.
#[derive(Default)]
pub(super) struct ChangeFollowers {
    stores: Mutex<HashMap<String, Vec<Weak<ChangeFollower>>>>,
    /// Bytes that all of them keep.
    bytes: AtomicU64,
}

/// Follower of one store, which feeds its watches.
struct ChangeFollower {
    epoch: u64,
    feed: Arc<Feed<Change>>,
    changed: Notify,
    /// Bytes that it counts in the sum of all.
    counted: AtomicU64,
}

impl ChangeFollowers {
    /// Makes the followers of changed keys read again.
    pub(super) fn on_invalidation(&self, changed: &Invalidation) {
        let followers = self.stores.lock();
        match changed {
            Invalidation::Keys(keys) => {
                let named = keys.iter().filter_map(|key| followers.get(key)).flatten();
                named.filter_map(Weak::upgrade).for_each(|follower| follower.read_again());
            }
            Invalidation::Anything => {
                followers
                    .values()
                    .flatten()
                    .filter_map(Weak::upgrade)
                    .for_each(|follower| follower.read_again());
            }
            Invalidation::Nothing => {}
        }
    }
}

/// Invalidation that a push holds for the keys that its connection has read.
pub(super) enum Invalidation {
    /// These keys changed.
    Keys(Vec<String>),
    /// Any key may have changed.
    Anything,
    /// None.
    Nothing,
}

impl Invalidation {
    pub(super) fn of(push: &PushInfo) -> Self {
        match (&push.kind, push.data.as_slice()) {
            (PushKind::Invalidate, [Value::Array(keys)]) => {
                Self::Keys(keys.iter().filter_map(super::topology::text).collect())
            }
            (PushKind::Invalidate | PushKind::Disconnection, _) => Self::Anything,
            _ => Self::Nothing,
        }
    }
}

impl ChangeFollowers {
    /// Bytes that are kept for all stores.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts what a follower keeps. If all together keep too much, it drops its changes, and
    /// watches that have not read them get a gap.
    fn count(&self, follower: &ChangeFollower) {
        if self.recount(follower, follower.feed.bytes() as u64) > MAX_CHANGE_BYTES {
            follower.feed.trim(0);
            self.recount(follower, follower.feed.bytes() as u64);
        }
    }

    /// Replaces a follower's part of the sum and returns the sum.
    fn recount(&self, follower: &ChangeFollower, bytes: u64) -> u64 {
        let before = follower.counted.swap(bytes, Ordering::Relaxed);
        let change = bytes.wrapping_sub(before);
        self.bytes.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }
}

/// Watches a store's changes.
///
/// # Errors
/// As [`Store::watch`](crate::store::Store::watch).
pub(super) async fn watch(
    store: &Arc<RedisStoreInner>,
    after: Option<Position>,
) -> Result<Watched> {
    let status = store.status(EXPIRED_PER_READ, true).await?;
    let mut position = status.position;
    let gap = match after {
        Some(after) if after.epoch == position.epoch && after.sequence <= position.sequence => {
            position.sequence = after.sequence.max(status.from);
            after.sequence < status.from
        }
        Some(_) => true,
        None => false,
    };
    let mut followers = store.shared.followers.stores.lock();
    let known = followers.entry(store.changes().to_owned()).or_default();
    let fits = |follower: &Arc<ChangeFollower>| {
        let feed = &follower.feed;
        follower.epoch == position.epoch
            && feed.first() <= position.sequence + 1
            && position.sequence <= feed.last()
    };
    if let Some(follower) = known.iter().filter_map(Weak::upgrade).find(fits) {
        return Ok(Watched { follower: follower.feed.follow(position.sequence), position, gap });
    }
    let feed = Feed::new(position.sequence, KEPT_CHANGES);
    let watch = feed.follow(position.sequence);
    let follower = Arc::new(ChangeFollower {
        epoch: position.epoch,
        feed,
        changed: Notify::new(),
        counted: AtomicU64::new(0),
    });
    known.push(Arc::downgrade(&follower));
    drop(followers);
    store.shared.runtime.spawn(run(follower, Arc::clone(store)));
    Ok(Watched { follower: watch, position, gap })
}

/// Copies the stream of changes to the feed, as long as it has followers.
async fn run(follower: Arc<ChangeFollower>, store: Arc<RedisStoreInner>) {
    let mut wait = READ_EVERY;
    loop {
        let read = read(&follower, &store).await;
        if follower.is_over(&store) {
            return;
        }
        match read {
            // There may be more.
            Ok(CHANGES_PER_READ) => continue,
            Ok(_) => {}
            Err(error) => tracing::debug!(?error, "the changes of a store could not be read"),
        }
        if timeout(wait, follower.changed.notified()).await.is_ok() {
            continue;
        }
        wait = READ_EVERY;
        match store.status(EXPIRED_PER_READ, true).await {
            Ok(status) => {
                // The next expiry is a change that is to be read in time.
                let now = store.shared.clock.now();
                if let Some(next) = status.next {
                    wait = wait.min(next.duration_since(now).max(SHORTEST_WAIT));
                }
                if status.from > follower.feed.last() {
                    follower.feed.skip_to(status.from);
                }
            }
            Err(error) => tracing::debug!(?error, "a store that is watched could not be looked at"),
        }
    }
}

/// Reads new changes. Returns their number.
async fn read(follower: &ChangeFollower, store: &RedisStoreInner) -> Result<usize> {
    let Some(node) = store.shared.router.topology.of(store.slot) else { return Ok(0) };
    let mut both = Pipeline::with_capacity(2);
    both.cmd("CLIENT").arg("CACHING").arg("YES");
    both.cmd("XRANGE").arg(store.changes()).arg(format!("({}-0", follower.feed.last())).arg("+");
    both.arg("COUNT").arg(CHANGES_PER_READ);
    let answers = node
        .many(&both)
        .await
        .map_err(|failure| super::failure::unavailable(failure.into_text()))?;
    let events = match answers.into_iter().nth(1) {
        Some(Value::Array(events)) => events,
        Some(Value::ServerError(error)) => {
            if error.kind() == Some(ServerErrorKind::Moved) {
                store.shared.router.topology.mark_stale();
            }
            return Err(super::failure::answered(&error));
        }
        Some(_) | None => return Err(reply::unexpected("changes")),
    };
    let count = events.len();
    for event in events {
        let (sequence, change) = decode(event)?;
        if sequence <= follower.feed.last() {
            continue;
        }
        if sequence > follower.feed.last() + 1 {
            follower.feed.skip_to(sequence - 1);
        }
        let value = match &change.kind {
            ChangeKind::Put { value, .. } => value.as_bytes().len(),
            ChangeKind::Delete { .. } => 0,
        };
        let bytes = CHANGE_BYTES + 2 * (change.key.as_str().len() + value);
        follower.feed.publish(change, Weight { counts: true, bytes });
    }
    store.shared.followers.count(follower);
    Ok(count)
}

/// Decodes an event of the stream: `["<revision>-0", ["k", key, "e", entry]]`, with the entry `d`
/// for a removal and `x` for an expiry.
fn decode(event: Value) -> Result<(u64, Change)> {
    let wrong = || reply::unexpected("a change");
    let Value::Array(event) = event else { return Err(wrong()) };
    let mut event = reply::ReplyParts::new(event);
    let place = event.text()?;
    let sequence =
        place.split_once('-').and_then(|(revision, _)| revision.parse().ok()).ok_or_else(wrong)?;
    let Some(Value::Array(fields)) = event.next() else { return Err(wrong()) };
    let mut fields = reply::ReplyParts::new(fields);
    fields.next();
    let key = Key::new(fields.text()?)?;
    fields.next();
    let entry = fields.bytes()?;
    let kind = match entry.as_slice() {
        b"d" => ChangeKind::Delete { expired: false },
        b"x" => ChangeKind::Delete { expired: true },
        _ => {
            let entry = reply::decode(entry).map_err(Error::internal)?;
            ChangeKind::Put { value: entry.value, expire_time: entry.expire_time }
        }
    };
    Ok((sequence, Change { key, kind }))
}

impl ChangeFollower {
    /// Makes the follower read again.
    fn read_again(&self) {
        self.changed.notify_one();
    }

    /// Returns true if the feed has no more followers, and removes it then.
    fn is_over(self: &Arc<Self>, store: &RedisStoreInner) -> bool {
        let mut followers = store.shared.followers.stores.lock();
        // Followers are added only under this lock, so a feed without any stays so.
        if Arc::strong_count(&self.feed) > 1 {
            return false;
        }
        store.shared.followers.recount(self, 0);
        if let Some(known) = followers.get_mut(store.changes()) {
            known.retain(|follower| !std::ptr::eq(follower.as_ptr(), Arc::as_ptr(self)));
            if known.is_empty() {
                followers.remove(store.changes());
            }
        }
        true
    }
}
