//! `calc`: a name for the server's log, then one calculation a line.

use bytes::BytesMut;

use super::error_text;
use super::line;
use super::protocol_client::{
    ClientHandshake, DecodedReply, OutgoingMessage, ProtocolClient, ReplyOutcome, say, text,
    unsupported,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::model::{Reason, UserName};

/// The dialect.
pub(super) struct CalcClient;

impl ProtocolClient for CalcClient {
    fn handshake(&mut self, user: &UserName) -> Option<ClientHandshake> {
        Some(ClientHandshake {
            message: Message::Text(format!("{}\n", user.as_str())),
            answered: false,
        })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn encode(&self, call: &Call, _given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        match call {
            Call::Calc { expression } if expression.contains(char::is_control) => Err(Failure::of(
                Reason::InvalidExpression,
                "the expression has a control character",
            )),
            Call::Calc { expression } => Ok(vec![say(format!("{expression}\n"))]),
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
        match text(replies.first()) {
            "Invalid expression" => ReplyOutcome::Failed(Failure::of(
                Reason::InvalidExpression,
                "invalid expression; write NUMBER OP NUMBER",
            )),
            "Division by zero" => {
                ReplyOutcome::Failed(Failure::of(Reason::InvalidExpression, "division by zero"))
            }
            said => match said.strip_prefix("error: ") {
                Some(sentence) => ReplyOutcome::Failed(error_text::failure(sentence)),
                None => ReplyOutcome::Text(said.to_owned()),
            },
        }
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::Text("q\n".to_owned()))
    }
}
