//! The codec traits, and the types that pass between a codec and the connection loop that drives
//! it.
//!
//! The loop calls `decode` with the same event until it returns [`Decoded::Pending`]. For each
//! [`Decoded::Request`] it takes the actions from `next` one at a time and passes each result to
//! `answer` before it takes another, so that at most one result is held. `finish` completes the
//! reply, which is sent in one write, or in several if it is longer than [`PIECE_BYTES`]. Only then
//! is `decode` called again, so a codec can keep the state of the current request.

use std::borrow::Cow;
use std::time::Duration;

use bytes::BytesMut;

use crate::model::{Command, Error, Reply, UserName};

/// Maximum size of a client's frame, line or message, in bytes. Undecoded input is bounded by this
/// and the latest read.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Maximum size of a datagram, in bytes; longer ones get no answer.
pub const MAX_DATAGRAM_BYTES: usize = 1 << 10;
/// Maximum size of the reply to a request of many commands, in bytes, not counting one error for
/// each remaining command: a request of 64 KiB could ask for a value of 1 MiB thousands of times.
/// Once the limit is reached, no further reads are run.
pub const MAX_REPLY_BYTES: usize = 4 << 20;
/// Size at which a partial reply on a stream is sent before the rest of it is produced, in bytes;
/// larger than what clients of these protocols read at a time.
pub const PIECE_BYTES: usize = 64 << 10;
/// Pause after which bytes without a terminator count as a request, if the client has not sent a
/// newline yet. Longer than the pauses within a line that a client writes in pieces, and short
/// enough that a client that never sends a newline hardly waits for its answer.
pub const QUIET: Duration = Duration::from_millis(120);

/// Event on a stream since the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes may have been added to the input.
    Bytes,
    /// No bytes arrived for [`QUIET`].
    Quiet,
    /// The client has closed its sending side.
    End,
}

/// Result of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// No request is complete. The connection is closed if the input has ended.
    Pending {
        /// True if a pause of [`QUIET`] would complete a request, so that it must be reported.
        quiet: bool,
    },
    /// A request was decoded: run its actions, if any, and send its reply unless it is empty.
    Request,
    /// Close at once, without a reply.
    Close,
}

/// Action that a codec requests.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Run a command as the connection's user; the result has its reply.
    Run(Command),
    /// Open the connection's session as a guest of this name; the result has no reply.
    SignIn(UserName),
    /// Sign in as a guest of this name and join the room `lobby`; the result has no reply. From
    /// then on the room's events are passed to [`StreamCodec::event`].
    Join(UserName),
    /// Post a message to the room; the result has no reply.
    Post(String),
    /// Write a line to the server's log, with the peer's address; the result has no reply. Text
    /// from the client in it is escaped.
    Log(Cow<'static, str>),
}

/// Result of an action; `Ok(None)` for actions without a reply.
pub type ActionResult = Result<Option<Reply>, Error>;

/// Action of the connection loop after a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterReply {
    /// Read the next request.
    #[default]
    Continue,
    /// Send the reply and close: shut down writing, discard input for at most a second, close.
    Close,
}

/// Event in the room that a connection has joined, except those that its own user caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatEvent<'a> {
    /// A user joined.
    Joined(&'a str),
    /// A user left.
    Left(&'a str),
    /// A user posted a message.
    Message {
        /// Name of the sender.
        user: &'a str,
        /// Text of the message.
        text: &'a str,
    },
    /// A sentence for this connection alone: events were missed, or the room closes.
    Notice(&'a str),
}

/// A protocol on a stream of bytes. One codec serves one connection.
pub trait StreamCodec: Send {
    /// Takes at most one request off the front of `input`; the rest stays for the next call.
    ///
    /// The result does not depend on how the stream is cut into calls with [`Input::Bytes`], and
    /// the work is linear in the number of bytes.
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded;

    /// Returns the next action of the current request. `out` is empty when a request starts, and
    /// holds the part of its reply that has not been sent yet.
    fn next(&mut self, out: &mut BytesMut) -> Option<Action>;

    /// Takes the result of the latest action.
    fn answer(&mut self, answer: ActionResult, out: &mut BytesMut);

    /// Completes the reply to the current request.
    fn finish(&mut self, out: &mut BytesMut) -> AfterReply;

    /// Appends the client's form of a room event to `out`. Only `chat` has events.
    fn event(&self, event: ChatEvent<'_>, out: &mut BytesMut) {
        let _ = (event, out);
    }
}

/// A WebSocket message from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the type of message of its name")]
pub enum Payload<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// Returns the message's bytes, whatever its type.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// A WebSocket message to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the type of message of its name")]
pub enum Message {
    Text(String),
    Binary(BytesMut),
}

/// A protocol on a WebSocket. One codec serves one connection.
pub trait MessageCodec: Send {
    /// Decodes one message; never returns [`Decoded::Pending`].
    fn decode(&mut self, message: Payload<'_>) -> Decoded;

    /// Returns the next action of the current request.
    fn next(&mut self) -> Option<Action>;

    /// Takes the result of the latest action.
    fn answer(&mut self, answer: ActionResult);

    /// Returns the reply to the current request; some requests have none.
    fn finish(&mut self) -> (Option<Message>, AfterReply);
}

/// A protocol on datagrams. One codec serves a socket, one datagram at a time.
pub trait DatagramCodec: Send {
    /// Decodes one datagram from `source_port`; [`Decoded::Close`] means that it gets no answer.
    /// Never returns [`Decoded::Pending`].
    fn decode(&mut self, datagram: &[u8], source_port: u16) -> Decoded;

    /// Returns the next action of the current datagram.
    fn next(&mut self) -> Option<Action>;

    /// Takes the result of the latest action.
    fn answer(&mut self, answer: ActionResult);

    /// Returns the reply to the current datagram, or `None` if its action failed.
    fn finish(&mut self) -> Option<String>;
}
