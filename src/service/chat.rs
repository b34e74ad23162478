//! Rooms, for those who have a session.

use std::sync::Arc;
use std::time::Duration;

use super::authorize::Caller;
use super::listing::page_size;
use super::method::Method;
use super::page_token::Question;
use super::rooms::Membership;
use super::session::{Session, StreamGuard};
use super::user::User;
use super::{Service, rates};
use crate::model::{Page, Position, Reply, Result, RoomName, Saying};

/// What goes on in a room, for one stream of a session: as long as it lives, the session is in use
/// and its user a member.
pub struct Conversation {
    /// The room.
    pub membership: Membership,
    /// Whose stream it is.
    pub session: Arc<Session>,
    _in_use: StreamGuard,
}

impl Service {
    /// Joins a room, and makes it if it is not there. Behind `after` all that was missed follows,
    /// without one the room's history.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `QUOTA_EXCEEDED`, `SERVER_FULL`; those of the engine.
    pub async fn join(
        &self,
        caller: &Caller,
        room: &RoomName,
        after: Option<Position>,
    ) -> Result<Conversation> {
        let user = self.authorize_own(caller, Method::Chat)?;
        self.conversation(caller, self.rooms.join(&user, room, after).await?)
    }

    /// Joins a room that is there.
    ///
    /// # Errors
    /// As [`join`](Self::join), and `ROOM_NOT_FOUND`.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        room: &RoomName,
        after: Option<Position>,
    ) -> Result<Conversation> {
        let user = self.authorize_own(caller, Method::Subscribe)?;
        self.conversation(caller, self.rooms.join_existing(&user, room, after).await?)
    }

    fn conversation(&self, caller: &Caller, membership: Membership) -> Result<Conversation> {
        let session = Arc::clone(caller.session()?);
        let in_use = StreamGuard::new(Arc::clone(&session), self.clock.clone());
        Ok(Conversation { membership, session, _in_use: in_use })
    }

    /// Counts a message against its user's rate.
    ///
    /// # Errors
    /// After how long it may be said.
    pub fn may_say(&self, user: &User) -> std::result::Result<(), Duration> {
        user.talk.may_say(&self.limits)
    }

    pub(super) async fn send(
        &self,
        caller: &Caller,
        room: &RoomName,
        saying: &Saying,
    ) -> Result<Reply> {
        let user = self.authorize_own(caller, Method::Send)?;
        self.may_say(&user).map_err(|wait| rates::limited("too many messages", wait))?;
        Ok(Reply::Sent { position: self.rooms.say(&user, room, saying).await? })
    }

    pub(super) async fn list_members(
        &self,
        caller: &Caller,
        room: &RoomName,
        page: &Page,
    ) -> Result<Reply> {
        self.authorize_own(caller, Method::ListMembers)?;
        let question =
            Question { method: Method::ListMembers.name(), owner: 0, prefix: room.folded() };
        let after = self.open_number(&question, &page.token)?.unwrap_or(0);
        let size = page_size(page);
        let mut found = self.rooms.members(room, after, size + 1).await?;
        let next_page_token = self.next_token(&question, &mut found, size)?;
        Ok(Reply::Members {
            members: found.into_iter().map(|(_, member)| member).collect(),
            next_page_token,
        })
    }

    pub(super) async fn list_rooms(&self, caller: &Caller, page: &Page) -> Result<Reply> {
        self.authorize_own(caller, Method::ListRooms)?;
        let question = Question { method: Method::ListRooms.name(), owner: 0, prefix: "" };
        let after = self.open_number(&question, &page.token)?.unwrap_or(0);
        let size = page_size(page);
        let mut found = self.rooms.page(after, size + 1).await?;
        let next_page_token = self.next_token(&question, &mut found, size)?;
        Ok(Reply::Rooms {
            rooms: found.into_iter().map(|(_, room)| room).collect(),
            next_page_token,
        })
    }
}
