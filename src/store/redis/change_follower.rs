//! Following the changes of a store, wherever they are made.
//!
//! Redis tells a connection when a key that it read has changed (client tracking). So the changes
//! are read once, and again when the stream's key is told of; and each second in any case, since a
//! node that went tells nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Pipeline, PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::reply;
use super::store::Inner;
use crate::model::{Error, Key, Position, Result};
use crate::store::feed::{Feed, Weight};
use crate::store::{Change, ChangeKind, KEPT_CHANGES, MAX_CHANGE_BYTES, Watched};

/// How often a store that somebody watches is looked at, told or not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest wait for the next key that expires.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// How many changes are read at a time.
const READ_AT_ONCE: usize = 200;
/// How many expired keys are taken out at a time.
const PURGE: usize = 256;
/// What a change counts beside its key and value.
const CHANGE_BYTES: usize = 160;

/// The stores that somebody watches here, by the keys of their changes.
#[derive(Default)]
pub(super) struct Tails {
    stores: Mutex<HashMap<String, Vec<Weak<Tail>>>>,
    /// What all of them keep.
    bytes: AtomicU64,
}

struct Tail {
    epoch: u64,
    feed: Arc<Feed<Change>>,
    changed: Notify,
    /// What it counts in the sum of all.
    counted: AtomicU64,
}

impl Tails {
    /// Hears what a connection was told.
    pub(super) fn hear(&self, changed: &Changed) {
        let tails = self.stores.lock();
        match changed {
            Changed::Keys(keys) => {
                let named = keys.iter().filter_map(|key| tails.get(key)).flatten();
                named.filter_map(Weak::upgrade).for_each(|tail| tail.look());
            }
            Changed::Anything => {
                tails.values().flatten().filter_map(Weak::upgrade).for_each(|tail| tail.look());
            }
            Changed::Nothing => {}
        }
    }
}

/// What a push says of the keys that its connection has read.
pub(super) enum Changed {
    /// These changed.
    Keys(Vec<String>),
    /// Any of them may have.
    Anything,
    Nothing,
}

impl Changed {
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

impl Tails {
    /// How much is kept of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts what a tail keeps; if that is too much for all, it keeps nothing, and who has not had
    /// it yet is told of a gap.
    fn count(&self, tail: &Tail) {
        if self.recount(tail, tail.feed.bytes() as u64) > MAX_CHANGE_BYTES {
            tail.feed.trim(0);
            self.recount(tail, tail.feed.bytes() as u64);
        }
    }

    /// Gives the sum of all.
    fn recount(&self, tail: &Tail, bytes: u64) -> u64 {
        let before = tail.counted.swap(bytes, Ordering::Relaxed);
        let change = bytes.wrapping_sub(before);
        self.bytes.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }
}

/// Follows a store's changes.
pub(super) async fn watch(store: &Arc<Inner>, after: Option<Position>) -> Result<Watched> {
    let stand = store.stand(PURGE, true).await?;
    let mut position = stand.position;
    let gap = match after {
        Some(after) if after.epoch == position.epoch && after.sequence <= position.sequence => {
            position.sequence = after.sequence.max(stand.from);
            after.sequence < stand.from
        }
        Some(_) => true,
        None => false,
    };
    let mut tails = store.shared.tails.stores.lock();
    let known = tails.entry(store.changes().to_owned()).or_default();
    let fits = |tail: &Arc<Tail>| {
        let feed = &tail.feed;
        tail.epoch == position.epoch
            && feed.first() <= position.sequence + 1
            && position.sequence <= feed.last()
    };
    if let Some(tail) = known.iter().filter_map(Weak::upgrade).find(fits) {
        return Ok(Watched { follower: tail.feed.follow(position.sequence), position, gap });
    }
    let feed = Feed::new(position.sequence, KEPT_CHANGES);
    let follower = feed.follow(position.sequence);
    let tail = Arc::new(Tail {
        epoch: position.epoch,
        feed,
        changed: Notify::new(),
        counted: AtomicU64::new(0),
    });
    known.push(Arc::downgrade(&tail));
    drop(tails);
    store.shared.runtime.spawn(run(tail, Arc::clone(store)));
    Ok(Watched { follower, position, gap })
}

/// Keeps the feed up with the stream, as long as anybody follows.
async fn run(tail: Arc<Tail>, store: Arc<Inner>) {
    let mut wait = LOOK_EVERY;
    loop {
        let read = read(&tail, &store).await;
        if tail.is_over(&store) {
            return;
        }
        match read {
            // There may be more.
            Ok(READ_AT_ONCE) => continue,
            Ok(_) => {}
            Err(error) => tracing::debug!(?error, "the changes of a store could not be read"),
        }
        if timeout(wait, tail.changed.notified()).await.is_ok() {
            continue;
        }
        wait = LOOK_EVERY;
        match store.stand(PURGE, true).await {
            Ok(stand) => {
                // What expires next is to be told in time.
                let now = store.shared.clock.now();
                if let Some(next) = stand.next {
                    wait = wait.min(next.duration_since(now).max(SHORTEST_WAIT));
                }
                if stand.from > tail.feed.last() {
                    tail.feed.skip_to(stand.from);
                }
            }
            Err(error) => tracing::debug!(?error, "a store that is watched could not be looked at"),
        }
    }
}

/// Reads what is new; tells how much that was.
async fn read(tail: &Tail, store: &Inner) -> Result<usize> {
    let Some(node) = store.shared.link.topology.of(store.slot) else { return Ok(0) };
    let mut both = Pipeline::with_capacity(2);
    both.cmd("CLIENT").arg("CACHING").arg("YES");
    both.cmd("XRANGE").arg(store.changes()).arg(format!("({}-0", tail.feed.last())).arg("+");
    both.arg("COUNT").arg(READ_AT_ONCE);
    let answers = node
        .many(&both)
        .await
        .map_err(|failure| super::failure::unavailable(failure.into_text()))?;
    let events = match answers.into_iter().nth(1) {
        Some(Value::Array(events)) => events,
        Some(Value::ServerError(error)) => {
            if error.kind() == Some(ServerErrorKind::Moved) {
                store.shared.link.topology.doubt();
            }
            return Err(super::failure::answered(&error));
        }
        Some(_) | None => return Err(reply::strange("changes")),
    };
    let count = events.len();
    for event in events {
        let (sequence, change) = decode(event)?;
        if sequence <= tail.feed.last() {
            continue;
        }
        if sequence > tail.feed.last() + 1 {
            tail.feed.skip_to(sequence - 1);
        }
        let value = match &change.kind {
            ChangeKind::Put { value, .. } => value.as_bytes().len(),
            ChangeKind::Delete { .. } => 0,
        };
        let bytes = CHANGE_BYTES + 2 * (change.key.as_str().len() + value);
        tail.feed.publish(change, Weight { counts: true, bytes });
    }
    store.shared.tails.count(tail);
    Ok(count)
}

/// An event of the stream: `["<revision>-0", ["k", key, "e", entry]]`, the entry `d` for a removal
/// and `x` for an expiry.
fn decode(event: Value) -> Result<(u64, Change)> {
    let wrong = || reply::strange("a change");
    let Value::Array(event) = event else { return Err(wrong()) };
    let mut event = reply::Parts::new(event);
    let place = event.text()?;
    let sequence =
        place.split_once('-').and_then(|(revision, _)| revision.parse().ok()).ok_or_else(wrong)?;
    let Some(Value::Array(fields)) = event.next() else { return Err(wrong()) };
    let mut fields = reply::Parts::new(fields);
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

impl Tail {
    fn look(&self) {
        self.changed.notify_one();
    }

    /// Whether nobody follows any more; then nobody finds it any more either.
    fn is_over(self: &Arc<Self>, store: &Inner) -> bool {
        let mut tails = store.shared.tails.stores.lock();
        // Followers come only under this lock, so one alone stays alone.
        if Arc::strong_count(&self.feed) > 1 {
            return false;
        }
        store.shared.tails.recount(self, 0);
        if let Some(known) = tails.get_mut(store.changes()) {
            known.retain(|tail| !std::ptr::eq(tail.as_ptr(), Arc::as_ptr(self)));
            if known.is_empty() {
                tails.remove(store.changes());
            }
        }
        true
    }
}
