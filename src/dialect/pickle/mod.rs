//! `pickle`: the user's name, then pickled lists of requests, answered by pickled lists of strings.
//!
//! The decoder is the project's own, because it must be bounded: `opcode` reads one opcode of a
//! closed set, `machine` runs it on a stack of `graph` nodes, `requests` reads the finished graph.
//! None of them recurses, none keeps more than what 64 KiB of input and 10,000 values can make, and
//! no opcode does anything but build lists, tuples, dicts and strings.

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

use super::codec::{Action, Answer, Decoded, Input, Next, StreamCodec};
use super::line::is_http;
use machine::Machine;
use name::Split;

pub use client::{Replies, request};
pub(super) use machine::decode_whole;
pub(super) use session::Session;

/// Why a pickle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPickle {
    /// Cut short, an argument that is none, a stack that does not fit, or no list of requests.
    #[error("malformed")]
    Malformed,
    /// An opcode outside the closed set: all that could import, call or build.
    #[error("opcode {0:#04x} is not allowed")]
    Opcode(u8),
    /// More than 64 KiB.
    #[error("over 64 KiB")]
    TooLong,
    /// More than 10,000 values.
    #[error("over 10,000 values")]
    TooMany,
    /// More than 8 containers in each other, or one that holds itself.
    #[error("nested over 8 deep")]
    TooDeep,
}

/// The dialect on TCP.
#[derive(Default)]
pub(super) struct Pickle {
    split: Split,
    machine: Machine,
    session: Session,
}

impl StreamCodec for Pickle {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        if !self.session.is_named() {
            return match self.split.next(input, event) {
                // A web page gets no user.
                Ok(Some(name)) if is_http(&name) => Decoded::Close,
                Ok(Some(name)) => self.session.name(&name),
                Ok(None) => Decoded::Pending { quiet: !input.is_empty() },
                Err(bad) => self.session.refuse(bad),
            };
        }
        match self.machine.run(input) {
            // A pickle that the end of input cut short.
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

    fn answer(&mut self, answer: Answer, out: &mut BytesMut) {
        self.session.answer(answer, out);
    }

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        self.session.finish(out)
    }
}
