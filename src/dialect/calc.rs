//! `calc`: a client name for the log, then one calculation per message.

use std::borrow::Cow;

use bytes::BytesMut;

use super::codec::{Action, ActionResult, AfterReply, Decoded, Input, StreamCodec};
use super::line::{Line, Lines, is_http};
use crate::model::{Calculated, DIVISION_BY_ZERO, Reason, Reply, request};

const INVALID: &str = "Invalid expression";
/// Maximum length of a client's name in the log, in characters.
const LOGGED_NAME: usize = 64;

/// Codec of a calculator connection.
#[derive(Default)]
pub(super) struct CalcCodec {
    lines: Lines,
    named: bool,
    action: Option<Action>,
    reply: Option<Cow<'static, str>>,
    next: AfterReply,
}

impl CalcCodec {
    fn message(&mut self, message: &[u8]) -> Action {
        let text = String::from_utf8_lossy(message);
        if !self.named {
            self.named = true;
            let name: String = text.chars().take(LOGGED_NAME).collect();
            return Action::Log(format!("the client's name is {name:?}").into());
        }
        if text == "q" {
            self.next = AfterReply::Close;
            return Action::Log("Session ended".into());
        }
        Action::Run(request::Calculate { expression: text.into_owned() }.into())
    }
}

impl StreamCodec for CalcCodec {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => return Decoded::Pending { quiet },
            Line::Whole(name) if !self.named && is_http(&name) => return Decoded::Close,
            Line::Whole(message) => self.action = Some(self.message(&message)),
            Line::TooLong => (self.reply, self.next) = (Some(INVALID.into()), AfterReply::Close),
        }
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: ActionResult, _out: &mut BytesMut) {
        self.reply = match answer {
            Ok(Some(Reply::Calculate(Calculated { text, .. }))) => Some(text.into()),
            Ok(_) => None,
            Err(error) if error.message() == DIVISION_BY_ZERO => Some(DIVISION_BY_ZERO.into()),
            Err(error) if error.reason() == Reason::InvalidExpression => Some(INVALID.into()),
            Err(error) => Some(format!("error: {}", error.message()).into()),
        };
    }

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        if let Some(reply) = self.reply.take() {
            out.extend_from_slice(reply.as_bytes());
            self.lines.end(out);
        }
        self.next
    }
}
