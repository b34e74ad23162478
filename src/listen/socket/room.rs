//! The room that a connection of `chat` is in.

use std::future::poll_fn;

use crate::dialect::codec::RoomEvent;
use crate::model::{self, ChatMessage, Error, Result, RoomName};
use crate::service::{Caller, Next, RoomSubscription, Service};

/// What happens in the room, without what its own user does and what was before.
pub(super) struct Room {
    conversation: RoomSubscription,
    /// Up to here, it is history: this protocol has none.
    joined_at: u64,
}

impl Room {
    /// Joins `lobby`.
    pub(super) async fn join(service: &Service, caller: &Caller) -> Result<Self> {
        let conversation = service.join(caller, &RoomName::new("")?, None).await?;
        let joined_at = conversation.membership.welcome().latest.sequence;
        Ok(Self { conversation, joined_at })
    }

    /// Says a line; waits while its user is over the rate.
    pub(super) async fn say(&self, service: &Service, text: String) -> Result<()> {
        let message = ChatMessage::new(text, "")?;
        // One turn is enough but for another stream of the same user, and this protocol's users
        // have one each.
        while let Err(wait) = service.admit_message(&self.conversation.session.user) {
            tokio::time::sleep(wait).await;
        }
        self.conversation.membership.publish(&message).result().await.map(|_| ())
    }

    /// What happens next that the client is to be told.
    pub(super) async fn next(&mut self) -> Next<model::ChatEvent> {
        let own = self.conversation.session.user.id;
        loop {
            let next = poll_fn(|context| self.conversation.membership.poll_next(context)).await;
            let passes_over = match &next {
                Next::Event(event) => {
                    event.sequence <= self.joined_at || event.body.participant().id == own
                }
                Next::Gap { .. } => false,
            };
            if !passes_over {
                return next;
            }
        }
    }
}

/// A happening in the words of the codecs.
pub(super) fn told(next: &Next<model::ChatEvent>) -> RoomEvent<'_> {
    let event = match next {
        Next::Gap { .. } => {
            return RoomEvent::Notice("this connection reads too slowly; messages were left out");
        }
        Next::Event(event) => &event.body,
    };
    match event {
        model::ChatEvent::Joined(someone) => RoomEvent::Joined(&someone.user.name),
        model::ChatEvent::Left(someone) => RoomEvent::Left(&someone.user.name),
        model::ChatEvent::Message { sender, text, .. } => {
            RoomEvent::Message { user: &sender.user.name, text }
        }
    }
}

/// The answer to a line of a connection that is in no room.
pub(super) fn nowhere() -> Error {
    Error::new(model::Reason::RoomNotFound, "log in first")
}
