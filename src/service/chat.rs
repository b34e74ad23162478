//! Rooms, for callers with a session: authorisation, rates and paging.

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
use crate::model::{ChatMessage, Page, Position, Reply, Result, RoomName};

/// A stream of a session in a room. While it lives, the session is in use and its user is a member
/// of the room.
pub struct RoomSubscription {
    /// The stream's membership.
    pub membership: Membership,
    /// The session.
    pub session: Arc<Session>,
    _in_use: StreamGuard,
}

impl Service {
    /// Joins a room, which is created if it does not exist. The stream receives the events after
    /// position `after`; without one, the room's history.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `QUOTA_EXCEEDED`, `SERVER_FULL`; in Redis also
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn join(
        &self,
        caller: &Caller,
        room: &RoomName,
        after: Option<Position>,
    ) -> Result<RoomSubscription> {
        let user = self.authorize_own(caller, Method::Chat)?;
        self.room_subscription(caller, self.rooms.join(&user, room, after, true).await?)
    }

    /// Joins a room that exists.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, and as [`join`](Self::join).
    pub async fn subscribe(
        &self,
        caller: &Caller,
        room: &RoomName,
        after: Option<Position>,
    ) -> Result<RoomSubscription> {
        let user = self.authorize_own(caller, Method::Subscribe)?;
        self.room_subscription(caller, self.rooms.join(&user, room, after, false).await?)
    }

    fn room_subscription(
        &self,
        caller: &Caller,
        membership: Membership,
    ) -> Result<RoomSubscription> {
        let session = Arc::clone(caller.session()?);
        let in_use = StreamGuard::new(Arc::clone(&session), self.clock.clone());
        Ok(RoomSubscription { membership, session, _in_use: in_use })
    }

    /// Counts a message against its user's rate.
    ///
    /// # Errors
    /// The time to wait before the message may be sent; it has not been counted.
    pub fn admit_message(&self, user: &User) -> std::result::Result<(), Duration> {
        user.rooms.rate.check(&self.limits)
    }

    pub(super) async fn send(
        &self,
        caller: &Caller,
        room: &RoomName,
        message: &ChatMessage,
    ) -> Result<Reply> {
        let user = self.authorize_own(caller, Method::Send)?;
        self.admit_message(&user).map_err(|wait| rates::limited("too many messages", wait))?;
        Ok(Reply::Sent { position: self.rooms.publish(&user, room, message).await? })
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
