//! `pickle`: the user's name, then pickled lists of requests, answered by pickled lists of strings.
//!
//! The decoder is not a library's, because it must be bounded: `opcode` reads one opcode of a
//! closed set, `machine` executes it on a stack of `graph` nodes, `requests` reads the finished
//! graph. None of them recurses or keeps more than 64 KiB of input and 10,000 values can produce,
//! and opcodes can only build lists, tuples, dicts and strings.

mod client;
mod graph;
mod machine;
mod name;
mod opcode;
mod requests;
mod session;
mod text;
mod write;

use bytes::BytesMut;

use super::codec::{Action, ActionResult, AfterReply, Decoded, Input, StreamCodec};
use super::line::is_http;
use machine::Machine;
use name::NameSplitter;

pub use client::{Replies, request};
pub(super) use machine::decode_whole;
pub(super) use session::PickleSession;

/// Reason that a pickle is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPickle {
    /// Truncated, an invalid argument, an inconsistent stack, or not a list of requests.
    #[error("malformed")]
    Malformed,
    /// An opcode outside the closed set: every opcode that imports, calls or builds objects.
    #[error("opcode {0:#04x} is not allowed")]
    Opcode(u8),
    /// More than 64 KiB.
    #[error("over 64 KiB")]
    TooLong,
    /// More than 10,000 values.
    #[error("over 10,000 values")]
    TooMany,
    /// Containers nested more than 8 deep, or one that holds itself.
    #[error("nested over 8 deep")]
    TooDeep,
}

/// Codec of the protocol on TCP.
#[derive(Default)]
pub(super) struct PickleCodec {
    name: NameSplitter,
    machine: Machine,
    session: PickleSession,
}

impl StreamCodec for PickleCodec {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        if !self.session.is_named() {
            return match self.name.next(input, event) {
                // A web page must not create a user.
                Ok(Some(name)) if is_http(&name) => Decoded::Close,
                Ok(Some(name)) => self.session.name(&name),
                Ok(None) => Decoded::Pending { quiet: !input.is_empty() },
                Err(bad) => self.session.refuse(bad),
            };
        }
        match self.machine.run(input) {
            // The end of input truncated a pickle.
            Ok(None) if event == Input::End && (self.machine.is_busy() || !input.is_empty()) => {
                input.clear();
                self.session.refuse(BadPickle::Malformed)
            }
            Ok(None) => Decoded::Pending { quiet: false },
            Ok(Some(pickle)) => self.session.request(&pickle),
            Err(bad) => {
                input.clear();
                self.session.refuse(bad)
            }
        }
    }

    fn next(&mut self, out: &mut BytesMut) -> Option<Action> {
        self.session.next(out)
    }

    fn answer(&mut self, answer: ActionResult, out: &mut BytesMut) {
        self.session.answer(answer, out);
    }

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        self.session.finish(out)
    }
}
