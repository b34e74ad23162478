//! What happens in a room.

use crate::model::{UnixMillis, User};
use crate::store::feed::Weight;

/// What an event counts in a room's history beside its text and its user's name.
const EVENT_BYTES: usize = 160;

/// Who does something: the id tells a door its own user's events from others'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Someone {
    /// The user's id, never reused.
    pub id: u64,
    /// The user, as it was then.
    pub user: User,
}

/// Something that happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    /// A user came.
    Joined(Someone),
    /// A user went.
    Left(Someone),
    /// A user said something.
    Message {
        /// Who.
        sender: Someone,
        /// What.
        text: String,
        /// When it was taken.
        send_time: UnixMillis,
    },
}

impl RoomEvent {
    /// Who did it.
    pub fn someone(&self) -> &Someone {
        match self {
            Self::Joined(someone) | Self::Left(someone) | Self::Message { sender: someone, .. } => {
                someone
            }
        }
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Message { .. })
    }

    pub(super) fn weight(&self) -> Weight {
        let text = match self {
            Self::Message { text, .. } => text.len(),
            Self::Joined(_) | Self::Left(_) => 0,
        };
        // The text is kept twice once it was encoded, the name too.
        let bytes = EVENT_BYTES + 2 * (text + self.someone().user.name.len());
        Weight { counts: self.is_message(), bytes }
    }
}
