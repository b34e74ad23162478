//! Chat rooms: their names, the messages sent to them, and the events that members receive.

use super::limits::{MAX_MESSAGE_ID_BYTES, MAX_TEXT_BYTES};
use super::name::checked;
use super::{Error, Reason, Result, UnixMillis, User};

/// Name of the room that an empty name stands for.
pub const LOBBY: &str = "lobby";

/// A room's name. The same characters are allowed as in a user's name, and names are compared by
/// the same folding.
#[derive(Clone, Debug)]
pub struct RoomName {
    text: String,
    folded: String,
}

impl RoomName {
    /// Validates a name; an empty one stands for [`LOBBY`].
    ///
    /// # Errors
    /// `INVALID_NAME`, naming the character that is not allowed.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let mut text = text.into();
        if text.is_empty() {
            LOBBY.clone_into(&mut text);
        }
        let folded = checked(&text, "room")?;
        Ok(Self { text, folded })
    }

    /// Returns the name as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the folded form, which names are compared by.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl PartialEq for RoomName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for RoomName {}

/// A message that a client sends to a room: a text of 1 byte to 4 KiB and, optionally, the client's
/// id for it, which makes a resend harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    text: String,
    id: Option<String>,
}

impl ChatMessage {
    /// Validates a message; an empty id means that it has none.
    ///
    /// # Errors
    /// `INVALID_MESSAGE`, naming the field and the limit.
    pub fn new(text: impl Into<String>, id: impl Into<String>) -> Result<Self> {
        let (text, id) = (text.into(), id.into());
        if text.is_empty() {
            return Err(invalid("text", "text is empty; a message is 1 to 4,096 bytes".to_owned()));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(invalid(
                "text",
                format!("text has {} bytes; at most 4,096 (4 KiB) are allowed", text.len()),
            ));
        }
        if id.len() > MAX_MESSAGE_ID_BYTES {
            let message = format!(
                "client_message_id has {} bytes; at most {MAX_MESSAGE_ID_BYTES} are allowed",
                id.len()
            );
            return Err(invalid("client_message_id", message));
        }
        Ok(Self { text, id: Some(id).filter(|id| !id.is_empty()) })
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the client's id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the text and the client's id.
    pub fn into_parts(self) -> (String, Option<String>) {
        (self.text, self.id)
    }
}

/// A user as it was at the time of a room's event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Id of the user, never reused. Tells a connection its own user's events from those of others.
    pub id: u64,
    /// Name and role.
    pub user: User,
}

/// An event in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// A user became a member.
    Joined(Participant),
    /// A user is no longer a member.
    Left(Participant),
    /// A user sent a message.
    Message {
        /// The sender.
        sender: Participant,
        /// The text.
        text: String,
        /// Time at which the room accepted the message.
        send_time: UnixMillis,
    },
}

impl ChatEvent {
    /// Returns the user that caused the event.
    pub fn participant(&self) -> &Participant {
        match self {
            Self::Joined(user) | Self::Left(user) | Self::Message { sender: user, .. } => user,
        }
    }
}

fn invalid(field: &'static str, message: String) -> Error {
    Error::new(Reason::InvalidMessage, message).in_field(field)
}
