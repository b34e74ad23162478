//! `encode` and `decode`: a frame of text or of bits, and a frame back.

use bytes::BytesMut;

use super::speaker::{Answer, MAX_UNREAD_BYTES, Request, Speaker, Taken, heard, lacks, text};
use super::words;
use crate::failure::{Failure, Result};
use crate::input::Input as Given;
use kvrpc::dialect::codec::{Input, MAX_MESSAGE_BYTES, Message};
use kvrpc::dialect::frame::{Frame, put, take};
use kvrpc::dialect::grammar::Call;

/// Both dialects.
pub(super) struct Frames;

impl Speaker for Frames {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the others are no commands of these dialects"
    )]
    fn ask(&self, call: &Call, _given: &Given) -> Result<Vec<Request>> {
        let text = match call {
            Call::Encode { text } => text,
            Call::Decode { bits } => bits,
            _ => return Err(lacks()),
        };
        if text.is_empty() {
            return Err(Failure::usage(
                "an empty text cannot be sent: a frame of length 0 ends the session",
            ));
        }
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(Failure::usage(
                "the text is over 64 KiB (65,536 bytes), which no frame may be",
            ));
        }
        let mut frame = BytesMut::new();
        put(text.as_bytes(), &mut frame);
        Ok(vec![Request { message: Message::Binary(frame), shown: None }])
    }

    fn take(&mut self, _call: Option<&Call>, input: &mut BytesMut, _event: Input) -> Result<Taken> {
        match take(input, MAX_UNREAD_BYTES) {
            Frame::Incomplete => Ok(Taken::More { quiet: None }),
            Frame::Whole(bytes) => Ok(Taken::Reply(heard(bytes))),
            Frame::End => {
                input.clear();
                Ok(Taken::Reply(Message::Text(String::new())))
            }
            Frame::TooLong => Err(Failure::failed("the server's reply is no frame")),
        }
    }

    fn read(&self, _call: &Call, replies: &[Message]) -> Answer {
        let said = text(replies.first());
        match said.strip_prefix("error: ") {
            Some(sentence) => Answer::Failed(words::sentence(sentence)),
            None => Answer::Text(said.to_owned()),
        }
    }

    fn farewell(&self) -> Option<Message> {
        let mut end = BytesMut::new();
        put(b"", &mut end);
        Some(Message::Binary(end))
    }
}
