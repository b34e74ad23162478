//! The room that a `chat` connection has joined.

use std::future::poll_fn;

use crate::dialect::codec::ChatEvent as CodecEvent;
use crate::model::request::Chat;
use crate::model::{ChatEvent, ChatMessage, Error, Result, RoomName};
use crate::service::{Caller, FeedItem, RoomSubscription, Service};

/// Events of the room, except those that the connection's own user causes and those from before it
/// joined.
pub(super) struct JoinedRoom {
    conversation: RoomSubscription,
    /// Sequence of the last event before the join. Earlier events are not shown: the protocol has
    /// no history.
    joined_at: u64,
}

impl JoinedRoom {
    /// Joins `lobby`.
    pub(super) async fn join(service: &Service, caller: &Caller) -> Result<Self> {
        let conversation =
            service.execute(caller, Chat { room: RoomName::new("")?, after: None }).await?;
        let joined_at = conversation.membership.welcome().latest.sequence;
        Ok(Self { conversation, joined_at })
    }

    /// Posts a line; waits while the user is over the rate limit.
    pub(super) async fn post(&self, service: &Service, text: String) -> Result<()> {
        let message = ChatMessage::new(text, "")?;
        // One wait is usually enough. Only another stream of the same user can use up the rate
        // meanwhile, and users of this protocol have one stream each.
        while let Err(wait) = service.admit_message(&self.conversation.session.user) {
            tokio::time::sleep(wait).await;
        }
        self.conversation.membership.publish(&message).result().await.map(|_| ())
    }

    /// Returns the next event to show to the client.
    pub(super) async fn next(&mut self) -> FeedItem<ChatEvent> {
        let own = self.conversation.session.user.id;
        loop {
            let next = poll_fn(|context| self.conversation.membership.poll_next(context)).await;
            let passes_over = match &next {
                FeedItem::Event(event) => {
                    event.sequence <= self.joined_at || event.body.participant().id == own
                }
                FeedItem::Gap { .. } => false,
            };
            if !passes_over {
                return next;
            }
        }
    }
}

/// Converts an event to the codec's form.
pub(super) fn to_chat_event(next: &FeedItem<ChatEvent>) -> CodecEvent<'_> {
    let event = match next {
        FeedItem::Gap { .. } => {
            return CodecEvent::Notice("this connection reads too slowly; messages were left out");
        }
        FeedItem::Event(event) => &event.body,
    };
    match event {
        ChatEvent::Joined(someone) => CodecEvent::Joined(&someone.user.name),
        ChatEvent::Left(someone) => CodecEvent::Left(&someone.user.name),
        ChatEvent::Message { sender, text, .. } => {
            CodecEvent::Message { user: &sender.user.name, text }
        }
    }
}

/// Returns the error for a message of a connection that has joined no room.
pub(super) fn not_in_a_room() -> Error {
    Error::new(crate::model::Reason::RoomNotFound, "log in first")
}
