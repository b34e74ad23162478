//! A user's stream in a room.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::event::RoomEvent;
use super::room::Room;
use crate::model::{Position, Result, Saying, User as UserView};
use crate::service::user::User;
use crate::store::feed::{Follower, Next};

/// What a stream learns when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The room's name, as the first that used it wrote it.
    pub room: String,
    /// Who is in it: the first 1,000.
    pub members: Vec<UserView>,
    /// How many are in it.
    pub member_count: u32,
    /// Where the room stood.
    pub latest: Position,
    /// Whether events behind the position asked for are missing.
    pub gap: bool,
}

/// One stream of a member: what happens in the room, from where it joined. Dropped, the stream has left.
pub struct Membership {
    room: Arc<Room>,
    user: Arc<User>,
    follower: Follower<RoomEvent>,
    welcome: Welcome,
    /// Up to this event, only messages are told.
    quiet_until: u64,
}

impl Membership {
    pub(super) fn new(
        room: Arc<Room>,
        user: Arc<User>,
        follower: Follower<RoomEvent>,
        welcome: Welcome,
        quiet_until: u64,
    ) -> Self {
        Self { room, user, follower, welcome, quiet_until }
    }

    /// The room, as it was at the join.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The place of the latest event that the stream was told, or of the one before its first.
    pub fn position(&self) -> Position {
        self.room.position(self.follower.next_sequence() - 1)
    }

    /// What comes next, or `Pending` until there is something.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<RoomEvent>> {
        loop {
            let Poll::Ready(next) = self.follower.poll_next(context) else { return Poll::Pending };
            if !self.passes_over(&next) {
                return Poll::Ready(next);
            }
        }
    }

    /// What comes next, if it is there and nothing that is not told is before it.
    pub fn try_next(&mut self) -> Option<Next<RoomEvent>> {
        self.follower.try_next().filter(|next| !self.passes_over(next))
    }

    fn passes_over(&self, next: &Next<RoomEvent>) -> bool {
        matches!(next, Next::Event(event) if event.sequence <= self.quiet_until && !event.body.is_message())
    }

    /// Says something; gives its place, the first one for what was said before with the same id.
    ///
    /// The caller sees to the rate: [`Service::may_say`](crate::service::Service::may_say).
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`.
    pub fn say(&self, saying: &Saying) -> Result<Position> {
        let said = self.room.say(&self.user, saying)?;
        // A room with a member does not end.
        said.ok_or_else(|| crate::model::Error::internal("a room ended with a member in it"))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.leave(&self.user);
    }
}
