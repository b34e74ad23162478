//! A membership lease: one stream of a member.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::RedisRooms;
use super::replica::RoomReplica;
use crate::model::{ChatMessage, Position, Result};
use crate::service::user::User;

/// Keeps a stream's user a member until it is dropped.
pub(in crate::service::rooms) struct RedisLease {
    pub(super) rooms: Arc<RedisRooms>,
    pub(super) replica: Arc<RoomReplica>,
    pub(super) user: Arc<User>,
    pub(super) number: u64,
    /// True if the room was added to the user's list for this lease.
    pub(super) listed: bool,
}

impl RedisLease {
    /// Notes that Redis has the lease.
    pub(super) fn confirm(&self) {
        self.replica.leases.lock().confirm(self.number);
    }

    pub(in crate::service::rooms) fn publish(
        &self,
        message: ChatMessage,
    ) -> BoxFuture<'static, Result<Position>> {
        let (rooms, replica, user) =
            (Arc::clone(&self.rooms), Arc::clone(&self.replica), Arc::clone(&self.user));
        Box::pin(
            async move { rooms.publish_in(&replica.keys, &user, &replica.name, &message).await },
        )
    }
}

impl Drop for RedisLease {
    fn drop(&mut self) {
        let listed = self.listed.then_some(self.user.id);
        self.replica.leases.lock().end(self.number, listed);
        self.replica.keeper.notify_one();
    }
}
