//! `chat`: a login name, then lines that go to everyone else in the room, until `quit`.

use bytes::BytesMut;

use super::codec::{Action, Answer, Decoded, Input, Next, RoomEvent, StreamCodec};
use super::line::{Line, Lines, is_http};
use super::words;
use crate::model::{Reason, UserName};

const INVALID_NAME: &str = "Invalid name";
const WORDS: &[(Reason, &str)] =
    &[(Reason::NameInUse, "Name is already taken"), (Reason::InvalidName, INVALID_NAME)];

/// One member of the room.
#[derive(Default)]
pub(super) struct Chat {
    lines: Lines,
    joined: bool,
    action: Option<Action>,
    reply: Option<String>,
    next: Next,
}

impl Chat {
    fn say(&mut self, words: &str) {
        self.reply = Some(words.to_owned());
    }

    fn login(&mut self, name: &[u8]) {
        match std::str::from_utf8(name).ok().and_then(|name| UserName::new(name).ok()) {
            Some(name) => self.action = Some(Action::Join(name)),
            None => self.say(INVALID_NAME),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match std::str::from_utf8(line) {
            // An empty line is a person pressing Enter, and says nothing to anyone.
            Ok("") => {}
            Ok(text) => self.action = Some(Action::Post(text.to_owned())),
            Err(_) => self.say(&format!("error: {}", words::NOT_UTF8)),
        }
    }
}

impl StreamCodec for Chat {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => return Decoded::Pending { quiet },
            Line::Whole(line) if line.as_ref() == b"quit" => return Decoded::Close,
            // A web page would have its request's lines said to the room.
            Line::Whole(name) if !self.joined && is_http(&name) => return Decoded::Close,
            Line::Whole(line) if self.joined => self.line(&line),
            // Its headers and body would go to everyone.
            Line::Whole(name) if is_http(&name) => return Decoded::Close,
            Line::Whole(name) => self.login(&name),
            Line::TooLong => {
                self.next = Next::Close;
                self.say(&format!("error: {}", words::TOO_LONG));
            }
        }
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: Answer, _out: &mut BytesMut) {
        match answer {
            Ok(_) => self.joined = true,
            Err(error) if self.joined => self.reply = Some(format!("error: {}", error.message())),
            Err(error) => {
                self.reply = Some(words::for_error(&error, WORDS, "error: ").into_owned())
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        if let Some(reply) = self.reply.take() {
            out.extend_from_slice(reply.as_bytes());
            self.lines.end(out);
        }
        self.next
    }

    fn event(&self, event: RoomEvent<'_>, out: &mut BytesMut) {
        let line = match event {
            RoomEvent::Joined(user) => format!("{user} has joined the chat."),
            RoomEvent::Left(user) => format!("{user} has left the chat."),
            RoomEvent::Message { user, text } => format!("{user}: {}", one_line(text)),
            RoomEvent::Notice(sentence) => format!("error: {sentence}"),
        };
        out.extend_from_slice(line.as_bytes());
        self.lines.end(out);
    }
}

/// A message in one line: another door's may have more, and a second line could pass for somebody
/// else's.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
