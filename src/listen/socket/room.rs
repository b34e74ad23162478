//! The room that a `chat` connection has joined.

use std::future::poll_fn;

use crate::dialect::codec::ChatEvent;
use crate::model::request::Chat;
use crate::model::{Error, Result, RoomName, Saying};
use crate::service::{self, Caller, Conversation, Next, Service};

/// Events of the room, except those that the connection's own user causes and those from before it
/// joined.
pub(super) struct JoinedRoom {
    conversation: Conversation,
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
        let saying = Saying::new(text, "")?;
        // One wait is usually enough. Only another stream of the same user can use up the rate
        // meanwhile, and users of this protocol have one stream each.
        while let Err(wait) = service.may_say(&self.conversation.session.user) {
            tokio::time::sleep(wait).await;
        }
        self.conversation.membership.say(&saying).known().await.map(|_| ())
    }

    /// Returns the next event to show to the client.
    pub(super) async fn next(&mut self) -> Next<service::RoomEvent> {
        let own = self.conversation.session.user.id;
        loop {
            let next = poll_fn(|context| self.conversation.membership.poll_next(context)).await;
            let passes_over = match &next {
                Next::Event(event) => {
                    event.sequence <= self.joined_at || event.body.someone().id == own
                }
                Next::Gap { .. } => false,
            };
            if !passes_over {
                return next;
            }
        }
    }
}

/// Converts an event to the codec's form.
pub(super) fn to_chat_event(next: &Next<service::RoomEvent>) -> ChatEvent<'_> {
    let event = match next {
        Next::Gap { .. } => {
            return ChatEvent::Notice("this connection reads too slowly; messages were left out");
        }
        Next::Event(event) => &event.body,
    };
    match event {
        service::RoomEvent::Joined(someone) => ChatEvent::Joined(&someone.user.name),
        service::RoomEvent::Left(someone) => ChatEvent::Left(&someone.user.name),
        service::RoomEvent::Message { sender, text, .. } => {
            ChatEvent::Message { user: &sender.user.name, text }
        }
    }
}

/// Returns the error for a message of a connection that has joined no room.
pub(super) fn not_in_a_room() -> Error {
    Error::new(crate::model::Reason::RoomNotFound, "log in first")
}
