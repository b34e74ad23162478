//! A user's stream in a room.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::event::RoomEvent;
use super::memory::Room;
use super::shared::Seated;
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

/// One stream of a member: what happens in the room, from where it joined. Dropped, the stream has
/// left.
pub struct Membership {
    place: Place,
    follower: Follower<RoomEvent>,
    welcome: Welcome,
    /// Up to this event, only messages are told.
    quiet_until: u64,
}

/// Where the member is.
enum Place {
    /// In a room of this process.
    Own { room: Arc<Room>, user: Arc<User> },
    /// In one that servers share.
    Shared(Seated),
}

/// What became of something that was said.
pub enum Said {
    /// It has its place, or was refused.
    Now(Result<Position>),
    /// That will be known later. Whoever lets go of this does not learn it.
    Later(BoxFuture<'static, Result<Position>>),
}

impl Said {
    /// Waits until it is known.
    ///
    /// # Errors
    /// As [`Membership::say`].
    pub async fn known(self) -> Result<Position> {
        match self {
            Self::Now(said) => said,
            Self::Later(said) => said.await,
        }
    }
}

impl Membership {
    pub(super) fn own(
        room: Arc<Room>,
        user: Arc<User>,
        follower: Follower<RoomEvent>,
        welcome: Welcome,
        quiet_until: u64,
    ) -> Self {
        Self { place: Place::Own { room, user }, follower, welcome, quiet_until }
    }

    pub(super) fn shared(
        seated: Seated,
        follower: Follower<RoomEvent>,
        welcome: Welcome,
        quiet_until: u64,
    ) -> Self {
        Self { place: Place::Shared(seated), follower, welcome, quiet_until }
    }

    /// The room, as it was at the join.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The place of the latest event that the stream was told, or of the one before its first.
    pub fn position(&self) -> Position {
        let sequence = self.follower.next_sequence() - 1;
        match &self.place {
            Place::Own { room, .. } => room.position(sequence),
            Place::Shared(seated) => seated.position(sequence),
        }
    }

    /// What comes next, or `Pending` until there is something.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<RoomEvent>> {
        loop {
            let Poll::Ready(next) = self.follower.poll_next(context) else {
                // Behind the wait: whoever begins another life of the room wakes those who wait.
                return self.poll_next_life();
            };
            if !self.passes_over(&next) {
                return Poll::Ready(next);
            }
        }
    }

    /// Goes over to what the room is now, if it is not what it was: the engine lost it, or some of
    /// it.
    fn poll_next_life(&mut self) -> Poll<Next<RoomEvent>> {
        let Place::Shared(seated) = &mut self.place else { return Poll::Pending };
        let Some((follower, latest)) = seated.next_life() else { return Poll::Pending };
        let from = self.follower.next_sequence();
        (self.follower, self.quiet_until) = (follower, latest);
        Poll::Ready(Next::Gap { from, to: self.follower.next_sequence() })
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
    /// `REQUEST_ID_REUSED`; in a room that servers share, those of the engine.
    pub fn say(&self, saying: &Saying) -> Said {
        match &self.place {
            Place::Own { room, user } => Said::Now(room.say(user, saying).and_then(|said| {
                // A room with a member does not end.
                said.ok_or_else(|| {
                    crate::model::Error::internal("a room ended with a member in it")
                })
            })),
            Place::Shared(seated) => Said::Later(seated.say(saying.clone())),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        match &self.place {
            Place::Own { room, user } => room.leave(user),
            // The seat gives itself up.
            Place::Shared(_) => {}
        }
    }
}
