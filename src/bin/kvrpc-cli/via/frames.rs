//! `encode` and `decode`: a frame of text or of bits, and a frame back.

use bytes::BytesMut;

use super::error_text;
use super::protocol_client::{
    DecodedReply, MAX_UNREAD_BYTES, OutgoingMessage, ProtocolClient, ReplyOutcome, text,
    to_message, unsupported,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::{Input, MAX_MESSAGE_BYTES, Message};
use kvrpc::dialect::frame::{Frame, put, take};
use kvrpc::dialect::grammar::Call;

/// Both dialects.
pub(super) struct FrameClient;

impl ProtocolClient for FrameClient {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the others are no commands of these dialects"
    )]
    fn encode(&self, call: &Call, _given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        let text = match call {
            Call::Encode { text } => text,
            Call::Decode { bits } => bits,
            _ => return Err(unsupported()),
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
        Ok(vec![OutgoingMessage { message: Message::Binary(frame), shown: None }])
    }

    fn decode(
        &mut self,
        _call: Option<&Call>,
        input: &mut BytesMut,
        _event: Input,
    ) -> Result<DecodedReply> {
        match take(input, MAX_UNREAD_BYTES) {
            Frame::Incomplete => Ok(DecodedReply::Incomplete { quiet: None }),
            Frame::Whole(bytes) => Ok(DecodedReply::Reply(to_message(bytes))),
            Frame::End => {
                input.clear();
                Ok(DecodedReply::Reply(Message::Text(String::new())))
            }
            Frame::TooLong => Err(Failure::failed("the server's reply is no frame")),
        }
    }

    fn interpret(&self, _call: &Call, replies: &[Message]) -> ReplyOutcome {
        let said = text(replies.first());
        match said.strip_prefix("error: ") {
            Some(sentence) => ReplyOutcome::Failed(error_text::failure(sentence)),
            None => ReplyOutcome::Text(said.to_owned()),
        }
    }

    fn farewell(&self) -> Option<Message> {
        let mut end = BytesMut::new();
        put(b"", &mut end);
        Some(Message::Binary(end))
    }
}
