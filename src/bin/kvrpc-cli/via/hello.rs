//! `hello`: any words, one answer.

use bytes::BytesMut;

use super::line;
use super::speaker::{Answer, Request, Speaker, Taken, lacks, text};
use crate::failure::Result;
use crate::input::Input as Given;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;

/// The dialect. Its words are no commands: what a person types is the message.
pub(super) struct Hello;

impl Speaker for Hello {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn ask(&self, call: &Call, _given: &Given) -> Result<Vec<Request>> {
        match call {
            // What the words are handed over as.
            Call::Encode { text } => Ok(vec![Request {
                message: Message::Text(format!("{}\n", text.replace('\n', " "))),
                shown: None,
            }]),
            _ => Err(lacks()),
        }
    }

    fn take(&mut self, _call: Option<&Call>, input: &mut BytesMut, event: Input) -> Result<Taken> {
        Ok(line::one(input, event))
    }

    fn read(&self, _call: &Call, replies: &[Message]) -> Answer {
        Answer::Text(text(replies.first()).to_owned())
    }
}
