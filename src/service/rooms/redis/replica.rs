//! The local replica of a room that has members at this server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::RedisRooms;
use super::leases::LeaseTable;
use crate::model::{Error, Reason, Result, RoomName};
use crate::service::rooms::feed::{Generation, RoomFeed};
use crate::service::user::User;
use crate::store::redis::rooms::{JoinedRoom, RoomKeys, RoomListener};

/// Maximum time that a join waits for the feed to catch up with the join's position.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

/// A room with members at this server: the events that its follower has read, and the leases that
/// its keeper renews.
pub(super) struct RoomReplica {
    pub(super) name: RoomName,
    pub(super) keys: RoomKeys,
    pub(super) feed: Arc<RoomFeed>,
    pub(super) leases: Mutex<LeaseTable<Arc<User>>>,
    /// Notified when Redis may have events that have not been read.
    pub(super) listener: RoomListener,
    /// Wakes the keeper.
    pub(super) keeper: Notify,
    /// Notified when the feed has new events.
    pub(super) progress: Notify,
    /// Set when the room in Redis may be another one than was followed: the keeper then looks soon.
    stale: AtomicBool,
}

impl RoomReplica {
    pub(super) fn new(rooms: &RedisRooms, name: &RoomName) -> Arc<Self> {
        let keys = rooms.engine.room_keys(name.folded());
        Arc::new(Self {
            name: name.clone(),
            feed: RoomFeed::new(&rooms.limits, Arc::clone(&rooms.budget)),
            leases: Mutex::default(),
            listener: rooms.engine.listen(&keys),
            keys,
            keeper: Notify::new(),
            progress: Notify::new(),
            stale: AtomicBool::new(false),
        })
    }

    /// Begins the generation that Redis reports, if it is another than the current one: its epoch,
    /// and the sequence after which its history begins.
    pub(super) fn observe(&self, epoch: u64, history_start: u64) {
        if self.feed.begin(epoch, history_start) {
            self.listener.changed.notify_one();
        }
    }

    /// Waits until the feed has all events up to a join.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` after 5 s.
    pub(super) async fn catch_up(&self, joined: &JoinedRoom) -> Result<Arc<Generation>> {
        self.observe(joined.epoch, joined.history_start);
        let caught_up = async {
            loop {
                let mut progress = std::pin::pin!(self.progress.notified());
                progress.as_mut().enable();
                if let Some(generation) = self.feed.generation()
                    && generation.epoch() == joined.epoch
                    && generation.feed.last() >= joined.latest
                {
                    return generation;
                }
                self.listener.changed.notify_one();
                progress.await;
            }
        };
        timeout(CATCH_UP_WITHIN, caught_up).await.map_err(|_| {
            Error::new(
                Reason::StoreUnavailable,
                "the store does not give the room's events; try again later",
            )
            .retry_after(Duration::from_secs(1))
        })
    }

    /// Makes the keeper look at the room in Redis soon.
    pub(super) fn mark_stale(&self) {
        self.stale.store(true, Ordering::Release);
        self.keeper.notify_one();
    }

    /// Returns true if the replica was marked stale since the last call.
    pub(super) fn take_stale_flag(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// Returns true once the replica has no members any more.
    pub(super) fn is_closed(&self) -> bool {
        self.leases.lock().is_closed()
    }
}

impl RedisRooms {
    /// Closes a replica without members; `forget`: even if Redis has not been told that they left.
    /// Returns true if it is closed.
    pub(super) fn close(&self, replica: &RoomReplica, forget: bool) -> bool {
        let mut replicas = self.replicas.lock();
        if !replica.leases.lock().close(forget) {
            return false;
        }
        replicas.remove(replica.name.folded());
        self.budget.set_rooms(replicas.len());
        // The follower ends.
        replica.listener.changed.notify_one();
        true
    }
}
