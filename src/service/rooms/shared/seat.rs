//! A seat in a room.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Rooms;
use super::hall::{Hall, Life};
use crate::model::{Position, Result, Saying};
use crate::service::rooms::RoomEvent;
use crate::service::user::User;
use crate::store::feed::Follower;

/// A seat that is kept, or taken. Dropped, it is given up.
pub(super) struct Hold {
    pub(super) rooms: Arc<Rooms>,
    pub(super) hall: Arc<Hall>,
    pub(super) user: Arc<User>,
    pub(super) number: u64,
    /// Whether the room came on the user's list for it.
    pub(super) listed: bool,
}

impl Hold {
    /// The engine knows of it.
    pub(super) fn take(&self) {
        self.hall.take(self.number);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.hall.give_up(self.number, self.listed);
    }
}

/// A member of a room that servers share, for one stream.
pub(in crate::service::rooms) struct Seated {
    hold: Hold,
    life: Arc<Life>,
}

impl Seated {
    pub(super) const fn new(hold: Hold, life: Arc<Life>) -> Self {
        Self { hold, life }
    }

    pub(in crate::service::rooms) fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.life.epoch, sequence }
    }

    /// If the room is something else by now: a follower of that, and its latest event.
    pub(in crate::service::rooms) fn next_life(&mut self) -> Option<(Follower<RoomEvent>, u64)> {
        if !self.life.is_over() {
            return None;
        }
        self.life = self.hold.hall.life()?;
        let feed = &self.life.feed;
        Some((feed.follow(feed.first() - 1), feed.last()))
    }

    pub(in crate::service::rooms) fn say(
        &self,
        saying: Saying,
    ) -> BoxFuture<'static, Result<Position>> {
        let Hold { rooms, hall, user, .. } = &self.hold;
        let (rooms, hall, user) = (Arc::clone(rooms), Arc::clone(hall), Arc::clone(user));
        Box::pin(async move { rooms.say_in(&hall.keys, &user, &hall.name, &saying).await })
    }
}
