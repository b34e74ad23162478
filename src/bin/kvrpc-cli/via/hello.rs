//! `hello`: any words, one answer.

use bytes::BytesMut;

use super::line;
use super::protocol_client::{
    DecodedReply, OutgoingMessage, ProtocolClient, ReplyOutcome, text, unsupported,
};
use crate::failure::Result;
use crate::input::CommandInput;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;

/// The dialect. Its words are no commands: what a person types is the message.
pub(super) struct HelloClient;

impl ProtocolClient for HelloClient {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn encode(&self, call: &Call, _given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        match call {
            // The form in which the words are handed over.
            Call::Encode { text } => Ok(vec![OutgoingMessage {
                message: Message::Text(format!("{}\n", text.replace('\n', " "))),
                shown: None,
            }]),
            _ => Err(unsupported()),
        }
    }

    fn decode(
        &mut self,
        _call: Option<&Call>,
        input: &mut BytesMut,
        event: Input,
    ) -> Result<DecodedReply> {
        Ok(line::one(input, event))
    }

    fn interpret(&self, _call: &Call, replies: &[Message]) -> ReplyOutcome {
        ReplyOutcome::Text(text(replies.first()).to_owned())
    }
}
