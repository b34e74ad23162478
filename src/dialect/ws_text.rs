//! `ws-text`: words in WebSocket messages: put, get, upgrade, q.

use super::codec::{
    Action, Answer, Decoded, MAX_MESSAGE_BYTES, Message, MessageCodec, Next, Payload,
};
use super::words;
use crate::model::{Command, Error, Reason, Reply, Result, Role, UserName, Value, request};

const DENIED: &str = "you are not allowed to access keys of other users";
const INVALID_NAME: &str = "invalid user name";
const NAMING: &[(Reason, &str)] =
    &[(Reason::NameInUse, "duplicate user name"), (Reason::InvalidName, INVALID_NAME)];
const WORDS: &[(Reason, &str)] = &[
    (Reason::KeyNotFound, "key not found"),
    (Reason::UserNotFound, "user not found"),
    (Reason::InvalidName, "user not found"),
    (Reason::UpgradeNotAllowed, "you are not allowed to upgrade"),
];

/// One client.
#[derive(Default)]
pub(super) struct WsText {
    named: bool,
    action: Option<Action>,
    reply: Option<Message>,
    next: Next,
}

impl WsText {
    fn say(&mut self, words: impl Into<String>) {
        self.reply = Some(Message::Text(words.into()));
    }

    fn request(&mut self, text: &str) {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match *words.as_slice() {
            ["put", key, value] => {
                self.run(Value::text(value).and_then(|value| words::put(key, value)))
            }
            ["get", key] => self.run(words::get(key)),
            ["get", user, key] => self.run(words::get_other(user, key)),
            // The role tells whether there is anything to do.
            ["upgrade", ..] => self.run(Ok(request::WhoAmI.into())),
            ["q"] => {
                self.next = Next::Close;
                self.say("exiting");
            }
            _ => self.say("wrong message format"),
        }
    }

    fn run(&mut self, command: Result<Command>) {
        match command {
            Ok(command) => self.action = Some(Action::Run(command)),
            Err(error) => self.reply = Some(error_words(&error)),
        }
    }
}

impl MessageCodec for WsText {
    fn decode(&mut self, message: Payload<'_>) -> Decoded {
        if message.as_bytes().len() > MAX_MESSAGE_BYTES {
            self.next = Next::Close;
            self.say(format!("error: {}", words::TOO_LONG));
            return Decoded::Request;
        }
        match (std::str::from_utf8(message.as_bytes()), self.named) {
            (Ok(text), true) => self.request(text),
            (Err(_), true) => self.say("wrong message format"),
            (name, false) => match name.ok().and_then(|name| UserName::new(name).ok()) {
                Some(name) => self.action = Some(Action::SignIn(name)),
                None => self.say(INVALID_NAME),
            },
        }
        Decoded::Request
    }

    fn next(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: Answer) {
        self.reply = match answer {
            Ok(_) if !self.named => {
                self.named = true;
                Some(Message::Text("success".to_owned()))
            }
            Err(error) if !self.named => {
                Some(Message::Text(words::for_error(&error, NAMING, "error: ").into_owned()))
            }
            Ok(Some(Reply::WhoAmI(me))) if me.user.role == Role::Guest => {
                self.action = Some(Action::Run(request::Upgrade { user: None }.into()));
                None
            }
            Ok(reply) => reply.and_then(reply_words),
            Err(error) => Some(error_words(&error)),
        };
    }

    fn finish(&mut self) -> (Option<Message>, Next) {
        (self.reply.take(), self.next)
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the other replies answer commands that this dialect does not have"
)]
fn reply_words(reply: Reply) -> Option<Message> {
    let text = match reply {
        Reply::Get(entry) | Reply::GetOther(entry) => match entry.value.as_text() {
            Some(text) => text,
            None => return Some(Message::Binary(entry.value.as_bytes().into())),
        }
        .to_owned(),
        Reply::Put(_) => "done".to_owned(),
        Reply::Upgrade(_) => "upgraded to manager".to_owned(),
        Reply::WhoAmI(_) => "already a manager".to_owned(),
        _ => return None,
    };
    Some(Message::Text(text))
}

fn error_words(error: &Error) -> Message {
    // The original answered this with bytes, and its clients expect them.
    if error.reason() == Reason::ManagerRequired {
        return Message::Binary(DENIED.as_bytes().into());
    }
    Message::Text(words::for_error(error, WORDS, "error: ").into_owned())
}
