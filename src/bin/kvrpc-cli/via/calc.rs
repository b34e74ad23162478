//! `calc`: a name for the server's log, then one calculation a line.

use bytes::BytesMut;

use super::line;
use super::speaker::{Answer, Greeting, Request, Speaker, Taken, lacks, say, text};
use super::words;
use crate::failure::{Failure, Result};
use crate::input::Input as Given;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::model::{Reason, UserName};

/// The dialect.
pub(super) struct Calc;

impl Speaker for Calc {
    fn greeting(&mut self, user: &UserName) -> Option<Greeting> {
        Some(Greeting { message: Message::Text(format!("{}\n", user.as_str())), answered: false })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn ask(&self, call: &Call, _given: &Given) -> Result<Vec<Request>> {
        match call {
            Call::Calc { expression } if expression.contains(char::is_control) => Err(Failure::of(
                Reason::InvalidExpression,
                "the expression has a control character",
            )),
            Call::Calc { expression } => Ok(vec![say(format!("{expression}\n"))]),
            _ => Err(lacks()),
        }
    }

    fn take(&mut self, _call: Option<&Call>, input: &mut BytesMut, event: Input) -> Result<Taken> {
        Ok(line::one(input, event))
    }

    fn read(&self, _call: &Call, replies: &[Message]) -> Answer {
        match text(replies.first()) {
            "Invalid expression" => Answer::Failed(Failure::of(
                Reason::InvalidExpression,
                "invalid expression; write NUMBER OP NUMBER",
            )),
            "Division by zero" => {
                Answer::Failed(Failure::of(Reason::InvalidExpression, "division by zero"))
            }
            said => match said.strip_prefix("error: ") {
                Some(sentence) => Answer::Failed(words::sentence(sentence)),
                None => Answer::Text(said.to_owned()),
            },
        }
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::Text("q\n".to_owned()))
    }
}
