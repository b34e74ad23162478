//! `chat`: a login name, then lines that go to everyone else in the room, until `quit`.

use bytes::BytesMut;

use super::codec::{Action, ActionResult, AfterReply, ChatEvent, Decoded, Input, StreamCodec};
use super::line::{Line, Lines, is_http};
use super::{error_text, sanitize};
use crate::model::{Reason, UserName};

const INVALID_NAME: &str = "Invalid name";
const ERRORS: &[(Reason, &str)] =
    &[(Reason::NameInUse, "Name is already taken"), (Reason::InvalidName, INVALID_NAME)];

/// Codec of one member of the room.
#[derive(Default)]
pub(super) struct ChatCodec {
    lines: Lines,
    joined: bool,
    action: Option<Action>,
    reply: Option<String>,
    next: AfterReply,
}

impl ChatCodec {
    fn reply_with(&mut self, words: &str) {
        self.reply = Some(words.to_owned());
    }

    fn login(&mut self, name: &[u8]) {
        match std::str::from_utf8(name).ok().and_then(|name| UserName::new(name).ok()) {
            Some(name) => self.action = Some(Action::Join(name)),
            None => self.reply_with(INVALID_NAME),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match std::str::from_utf8(line) {
            // An empty line, as sent by pressing Enter, is not posted.
            Ok("") => {}
            Ok(text) => self.action = Some(Action::Post(text.to_owned())),
            Err(_) => self.reply_with(&format!("error: {}", error_text::NOT_UTF8)),
        }
    }
}

impl StreamCodec for ChatCodec {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => return Decoded::Pending { quiet },
            Line::Whole(line) if line.as_ref() == b"quit" => return Decoded::Close,
            // Without this, a web page could post its request's lines to the room.
            Line::Whole(name) if !self.joined && is_http(&name) => return Decoded::Close,
            Line::Whole(line) if self.joined => self.line(&line),
            // Without this, the request's headers and body would be posted to the room.
            Line::Whole(name) if is_http(&name) => return Decoded::Close,
            Line::Whole(name) => self.login(&name),
            Line::TooLong => {
                self.next = AfterReply::Close;
                self.reply_with(&format!("error: {}", error_text::TOO_LONG));
            }
        }
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: ActionResult, _out: &mut BytesMut) {
        match answer {
            Ok(_) => self.joined = true,
            Err(error) if self.joined => self.reply = Some(format!("error: {}", error.message())),
            Err(error) => {
                self.reply = Some(error_text::for_error(&error, ERRORS, "error: ").into_owned())
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        if let Some(reply) = self.reply.take() {
            out.extend_from_slice(reply.as_bytes());
            self.lines.end(out);
        }
        self.next
    }

    fn event(&self, event: ChatEvent<'_>, out: &mut BytesMut) {
        let line = match event {
            ChatEvent::Joined(user) => format!("{} has joined the chat.", sanitize::text(user)),
            ChatEvent::Left(user) => format!("{} has left the chat.", sanitize::text(user)),
            // Messages from other protocols may have several lines, and a second line could pass
            // for another user's message.
            ChatEvent::Message { user, text } => {
                format!("{}: {}", sanitize::text(user), sanitize::text(text))
            }
            ChatEvent::Notice(sentence) => format!("error: {sentence}"),
        };
        out.extend_from_slice(line.as_bytes());
        self.lines.end(out);
    }
}
