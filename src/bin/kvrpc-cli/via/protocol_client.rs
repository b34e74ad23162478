//! The client's side of a dialect: commands into messages, replies into answers. No sockets, no
//! clock.

use std::time::Duration;

use bytes::BytesMut;

use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::{Input, MAX_REPLY_BYTES, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::model::UserName;

/// The most that is kept of a reply that has not ended.
pub(super) const MAX_UNREAD_BYTES: usize = 2 * MAX_REPLY_BYTES;

/// Something to be sent.
pub(super) struct OutgoingMessage {
    pub(super) message: Message,
    /// Text that is shown in its place if it contains a password.
    pub(super) shown: Option<Vec<u8>>,
}

/// Handshake before the first request.
pub(super) struct ClientHandshake {
    pub(super) message: Message,
    /// True if the server answers it.
    pub(super) answered: bool,
}

/// Result of decoding a stream.
pub(super) enum DecodedReply {
    /// No reply is complete; a pause this long would complete one.
    Incomplete { quiet: Option<Duration> },
    /// A reply, without its frame.
    Reply(Message),
}

/// Meaning of a reply.
pub(super) enum ReplyOutcome {
    /// A value that was found.
    Value(Message),
    /// There is no such key.
    Missing,
    /// It was done, and there is nothing to say.
    Done,
    /// A result to be printed, in as many lines as it has.
    Text(String),
    /// It was not done.
    Failed(Failure),
}

/// A dialect in one connection.
pub(super) trait ProtocolClient: Send {
    /// Returns the handshake that the server expects first.
    fn handshake(&mut self, user: &UserName) -> Option<ClientHandshake> {
        let _ = user;
        None
    }

    /// Checks the answer to the handshake.
    fn check_handshake(&self, reply: &Message, user: &UserName) -> Result<()> {
        let _ = (reply, user);
        Ok(())
    }

    /// The messages of a command, each of which gets one reply.
    ///
    /// # Errors
    /// Returns the error for a command that the dialect lacks.
    fn encode(&self, call: &Call, given: &CommandInput) -> Result<Vec<OutgoingMessage>>;

    /// Takes a reply off a stream; where messages are whole, nobody asks.
    fn decode(
        &mut self,
        call: Option<&Call>,
        input: &mut BytesMut,
        event: Input,
    ) -> Result<DecodedReply> {
        let _ = (call, input, event);
        Err(Failure::failed("this dialect has no stream"))
    }

    /// A whole message as the reply that it is.
    fn message(&mut self, message: Message) -> Result<Message> {
        Ok(message)
    }

    /// Returns true if a datagram can be the reply to this request, and not a late one to another.
    fn fits(&self, request: &Message, reply: &[u8]) -> bool {
        let _ = (request, reply);
        true
    }

    /// Interprets the replies to a command.
    fn interpret(&self, call: &Call, replies: &[Message]) -> ReplyOutcome;

    /// Returns the message that precedes the close of the connection.
    fn farewell(&self) -> Option<Message> {
        None
    }
}

/// A message of text, with nothing to hide.
pub(super) fn say(text: impl Into<String>) -> OutgoingMessage {
    OutgoingMessage { message: Message::Text(text.into()), shown: None }
}

/// The bytes of a message, whatever its type.
pub(super) fn bytes(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
    }
}

/// A reply of bytes: text if they are.
pub(super) fn to_message(bytes: BytesMut) -> Message {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Message::Text(text.to_owned()),
        Err(_) => Message::Binary(bytes),
    }
}

/// The reply's text; of bytes that are none, nothing.
pub(super) fn text(reply: Option<&Message>) -> &str {
    match reply {
        Some(Message::Text(text)) => text,
        Some(Message::Binary(bytes)) => std::str::from_utf8(bytes).unwrap_or_default(),
        None => "",
    }
}

/// Error for commands that are excluded before.
pub(super) fn unsupported() -> Failure {
    Failure::usage("the dialect has no such command")
}

/// Refuses options of a put that a dialect has no words for.
pub(super) fn plain_put(put: &kvrpc::dialect::grammar::PutCall, dialect: &str) -> Result<()> {
    let option = match put {
        _ if put.expiry.is_some() => "--ttl or --expire-time",
        _ if put.if_revision.is_some() => "--if-revision",
        _ if put.request_id.is_some() => "--request-id",
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("the dialect `{dialect}` has no {option}")))
}

/// The value of a put as text.
pub(super) fn value<'a>(given: &'a CommandInput, dialect: &str) -> Result<&'a str> {
    let CommandInput::Value(value) = given else {
        return Err(Failure::failed("the value was not read"));
    };
    std::str::from_utf8(value.as_bytes()).map_err(|_| {
        Failure::usage(format!(
            "the value is no UTF-8, and the dialect `{dialect}` carries only text"
        ))
    })
}
