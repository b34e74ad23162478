//! Rooms, for callers with a session: authorisation, rates and paging.

use std::sync::Arc;
use std::time::Duration;

use super::authorize::{Handle, Subject};
use super::listing::page_size;
use super::page_token::TokenScope;
use super::rooms::Membership;
use super::session::{Session, StreamGuard};
use super::user::User;
use super::{Service, rates};
use crate::model::request::{Chat, ListMembers, ListRooms, Send, Subscribe};
use crate::model::{Listing, Method, Position, Request, Result, Room, User as UserView};

/// Stream of a session in a room. While it exists, the session is in use and its user is a member
/// of the room.
pub struct RoomSubscription {
    /// Membership of the stream.
    pub membership: Membership,
    /// Session of the stream.
    pub session: Arc<Session>,
    _in_use: StreamGuard,
}

impl Request for Chat {
    const METHOD: Method = Method::Chat;
    type Reply = RoomSubscription;
}

impl Request for Subscribe {
    const METHOD: Method = Method::Subscribe;
    type Reply = RoomSubscription;
}

impl Handle<Chat> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Chat) -> Result<RoomSubscription> {
        let user = &subject.session()?.user;
        let membership = self.rooms.join(user, &request.room, request.after, true).await?;
        self.room_subscription(&subject, membership)
    }
}

impl Handle<Subscribe> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Subscribe) -> Result<RoomSubscription> {
        let user = &subject.session()?.user;
        let membership = self.rooms.join(user, &request.room, request.after, false).await?;
        self.room_subscription(&subject, membership)
    }
}

impl Handle<Send> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Send) -> Result<Position> {
        let user = &subject.session()?.user;
        self.admit_message(user).map_err(|wait| rates::limited("too many messages", wait))?;
        self.rooms.publish(user, &request.room, &request.message).await
    }
}

impl Handle<ListMembers> for Service {
    async fn handle(
        &self,
        subject: Subject<'_>,
        request: ListMembers,
    ) -> Result<Listing<UserView>> {
        let ListMembers { room, page } = request;
        let method = subject.method().name();
        let scope = TokenScope { method, owner: 0, prefix: room.folded() };
        let after = self.open_number(&scope, &page.token)?.unwrap_or(0);
        let size = page_size(&page);
        let mut found = self.rooms.members(&room, after, size + 1).await?;
        let next_page_token = self.next_token(&scope, &mut found, size)?;
        Ok(Listing { rows: found.into_iter().map(|(_, member)| member).collect(), next_page_token })
    }
}

impl Handle<ListRooms> for Service {
    async fn handle(&self, subject: Subject<'_>, request: ListRooms) -> Result<Listing<Room>> {
        let page = request.page;
        let scope = TokenScope { method: subject.method().name(), owner: 0, prefix: "" };
        let after = self.open_number(&scope, &page.token)?.unwrap_or(0);
        let size = page_size(&page);
        let mut found = self.rooms.page(after, size + 1).await?;
        let next_page_token = self.next_token(&scope, &mut found, size)?;
        Ok(Listing { rows: found.into_iter().map(|(_, room)| room).collect(), next_page_token })
    }
}

impl Service {
    fn room_subscription(
        &self,
        subject: &Subject<'_>,
        membership: Membership,
    ) -> Result<RoomSubscription> {
        let session = Arc::clone(subject.session()?);
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
}
