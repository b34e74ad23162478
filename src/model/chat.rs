//! What is said in rooms: their names, texts, and the ids that make a resend harmless.

use super::limits::{MAX_MESSAGE_ID_BYTES, MAX_TEXT_BYTES};
use super::name::checked;
use super::{Error, Reason, Result};

/// The room that an empty name means.
pub const LOBBY: &str = "lobby";

/// A room's name, of the same characters as a user's; two are one in the same cases.
#[derive(Clone, Debug)]
pub struct RoomName {
    text: String,
    folded: String,
}

impl RoomName {
    /// Checks a name; an empty one is [`LOBBY`].
    ///
    /// # Errors
    /// `INVALID_NAME`, with the character at fault.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let mut text = text.into();
        if text.is_empty() {
            LOBBY.clone_into(&mut text);
        }
        let folded = checked(&text, "room")?;
        Ok(Self { text, folded })
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What names are compared by.
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

/// Something to be said: 1 byte to 4 KiB, with an id or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    text: String,
    id: Option<String>,
}

impl Saying {
    /// Checks it; an empty id is none.
    ///
    /// # Errors
    /// `INVALID_MESSAGE`, naming what was wrong.
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

    /// What is said.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Text and id, taken out.
    pub fn into_parts(self) -> (String, Option<String>) {
        (self.text, self.id)
    }
}

fn invalid(field: &'static str, message: String) -> Error {
    Error::new(Reason::InvalidMessage, message).in_field(field)
}
