//! What a door drives: the codec traits, and what passes between a codec and its door.
//!
//! A door decodes, with the same event again, until it gets [`Decoded::Pending`]. For each
//! [`Decoded::Request`] it takes the actions from `next`, one at a time, and hands the answer to
//! each to `answer` before it takes another, so that no more than one is held; `finish` completes
//! the reply, which goes out in one write, or if it is longer than [`PIECE_BYTES`] in several. Only
//! then does it decode again: a codec remembers how the request in hand is to be answered.

use std::borrow::Cow;
use std::time::Duration;

use bytes::BytesMut;

use crate::model::{Command, Error, Reply, UserName};

/// The longest frame, line or message of a client, in bytes. A door keeps no more than this, and
/// what it read last, of undecoded input.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// The longest datagram, in bytes; a longer one gets no answer.
pub const MAX_DATAGRAM_BYTES: usize = 1 << 10;
/// Where the reply to a request of many commands ends, in bytes, an error for each of the rest put
/// aside: a request of 64 KiB may ask thousands of times for a value of 1 MiB. Once it is there,
/// nothing that reads more is run.
pub const MAX_REPLY_BYTES: usize = 4 << 20;
/// So much of a reply on a stream is sent before the rest of it is made: more than a client of
/// these protocols takes at a time.
pub const PIECE_BYTES: usize = 64 << 10;
/// How long bytes without a terminator must be quiet to be a request.
pub const QUIET: Duration = Duration::from_millis(20);

/// What has happened on a stream since the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes may have been added to the input.
    Bytes,
    /// Nothing came for [`QUIET`].
    Quiet,
    /// The client has sent its last byte.
    End,
}

/// What a codec made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// No request is complete. With `quiet`, a pause of [`QUIET`] would complete one: the door
    /// reports it. At the end of input the door closes.
    Pending {
        /// Whether a pause means something.
        quiet: bool,
    },
    /// A request is in hand: run its actions, if it has any, and send its reply, if that is not
    /// empty.
    Request,
    /// Close at once, without a reply.
    Close,
}

/// What a connection asks of its door.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Run a command as the connection's user; answered by its reply.
    Run(Command),
    /// Open the connection's session, as a guest of this name; answered by no reply.
    SignIn(UserName),
    /// Sign in, and enter the room `lobby`; answered by no reply. From then on the door hands the
    /// room's events to the codec.
    Join(UserName),
    /// Post to the room; answered by no reply.
    Post(String),
    /// Write a line to the server's log, beside the peer's address; answered by no reply. What came
    /// from the client in it is escaped.
    Log(Cow<'static, str>),
}

/// How an action ended; without a reply for those that have none.
pub type Answer = Result<Option<Reply>, Error>;

/// What a door does after a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Goes on with the next request.
    #[default]
    Read,
    /// Sends the reply and closes: shuts down writing, reads and drops for at most a second,
    /// closes.
    Close,
}

/// What happened in the room that a connection joined, its own doings left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomEvent<'a> {
    /// This user came.
    Joined(&'a str),
    /// This user went.
    Left(&'a str),
    /// This user said something.
    Message {
        /// Who.
        user: &'a str,
        /// What.
        text: &'a str,
    },
    /// Something that concerns this connection alone, as a sentence: events were missed, the room
    /// closes.
    Notice(&'a str),
}

/// A dialect on a stream of bytes. One codec serves one connection.
pub trait StreamCodec: Send {
    /// Takes at most one request off the front of `input`; what is left of it stays for the next
    /// call.
    ///
    /// The cutting of the stream into calls with [`Input::Bytes`] does not matter, and the work is
    /// linear in the bytes.
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded;

    /// The next action of the request in hand. `out` was empty at the request's start, and holds
    /// the reply so far, less what the door has already sent of it.
    fn next(&mut self, out: &mut BytesMut) -> Option<Action>;

    /// Takes the answer to the action that was last given.
    fn answer(&mut self, answer: Answer, out: &mut BytesMut);

    /// Completes the reply to the request in hand.
    fn finish(&mut self, out: &mut BytesMut) -> Next;

    /// Puts what happened in the room into the client's words. Only `chat` has any.
    fn event(&self, event: RoomEvent<'_>, out: &mut BytesMut) {
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
    /// The message's bytes, whatever its type.
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

/// A dialect on a WebSocket. One codec serves one connection.
pub trait MessageCodec: Send {
    /// Reads one message; it is never [`Decoded::Pending`].
    fn decode(&mut self, message: Payload<'_>) -> Decoded;

    /// The next action of the request in hand.
    fn next(&mut self) -> Option<Action>;

    /// Takes the answer to the action that was last given.
    fn answer(&mut self, answer: Answer);

    /// The reply to the request in hand; some requests have none.
    fn finish(&mut self) -> (Option<Message>, Next);
}

/// A dialect of datagrams. One codec serves a socket, one datagram at a time.
pub trait DatagramCodec: Send {
    /// Reads one datagram; [`Decoded::Close`]: it gets no answer. It is never [`Decoded::Pending`].
    fn decode(&mut self, datagram: &[u8], source_port: u16) -> Decoded;

    /// The next action of the datagram in hand.
    fn next(&mut self) -> Option<Action>;

    /// Takes the answer to the action that was last given.
    fn answer(&mut self, answer: Answer);

    /// The reply to the datagram in hand; none if its action failed.
    fn finish(&mut self) -> Option<String>;
}
