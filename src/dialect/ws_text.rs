//! `ws-text`: commands as words in WebSocket messages: `put`, `get`, `upgrade`, `q`.

use super::codec::{
    Action, ActionResult, AfterReply, Decoded, MAX_MESSAGE_BYTES, Message, MessageCodec, Payload,
};
use super::{commands, error_text};
use crate::model::{Command, Error, Reason, Reply, Result, Role, UserName, Value, request};

const DENIED: &str = "you are not allowed to access keys of other users";
const INVALID_NAME: &str = "invalid user name";
const SIGN_IN_ERRORS: &[(Reason, &str)] =
    &[(Reason::NameInUse, "duplicate user name"), (Reason::InvalidName, INVALID_NAME)];
const ERRORS: &[(Reason, &str)] = &[
    (Reason::KeyNotFound, "key not found"),
    (Reason::UserNotFound, "user not found"),
    (Reason::InvalidName, "user not found"),
    (Reason::UpgradeNotAllowed, "you are not allowed to upgrade"),
];

/// Codec of one client.
#[derive(Default)]
pub(super) struct WsTextCodec {
    named: bool,
    action: Option<Action>,
    reply: Option<Message>,
    next: AfterReply,
}

impl WsTextCodec {
    fn reply_with(&mut self, words: impl Into<String>) {
        self.reply = Some(Message::Text(words.into()));
    }

    fn request(&mut self, text: &str) {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match *words.as_slice() {
            ["put", key, value] => {
                self.run(Value::text(value).and_then(|value| commands::put(key, value)))
            }
            ["get", key] => self.run(commands::get(key)),
            ["get", user, key] => self.run(commands::get_other(user, key)),
            // The reply's role decides whether an upgrade is needed.
            ["upgrade", ..] => self.run(Ok(request::WhoAmI.into())),
            ["q"] => {
                self.next = AfterReply::Close;
                self.reply_with("exiting");
            }
            _ => self.reply_with("wrong message format"),
        }
    }

    fn run(&mut self, command: Result<Command>) {
        match command {
            Ok(command) => self.action = Some(Action::Run(command)),
            Err(error) => self.reply = Some(error_message(&error)),
        }
    }
}

impl MessageCodec for WsTextCodec {
    fn decode(&mut self, message: Payload<'_>) -> Decoded {
        if message.as_bytes().len() > MAX_MESSAGE_BYTES {
            self.next = AfterReply::Close;
            self.reply_with(format!("error: {}", error_text::TOO_LONG));
            return Decoded::Request;
        }
        match (std::str::from_utf8(message.as_bytes()), self.named) {
            (Ok(text), true) => self.request(text),
            (Err(_), true) => self.reply_with("wrong message format"),
            (name, false) => match name.ok().and_then(|name| UserName::new(name).ok()) {
                Some(name) => self.action = Some(Action::SignIn(name)),
                None => self.reply_with(INVALID_NAME),
            },
        }
        Decoded::Request
    }

    fn next(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: ActionResult) {
        self.reply = match answer {
            Ok(_) if !self.named => {
                self.named = true;
                Some(Message::Text("success".to_owned()))
            }
            Err(error) if !self.named => Some(Message::Text(
                error_text::for_error(&error, SIGN_IN_ERRORS, "error: ").into_owned(),
            )),
            Ok(Some(Reply::WhoAmI(me))) if me.user.role == Role::Guest => {
                self.action = Some(Action::Run(request::Upgrade { user: None }.into()));
                None
            }
            Ok(reply) => reply.and_then(reply_message),
            Err(error) => Some(error_message(&error)),
        };
    }

    fn finish(&mut self) -> (Option<Message>, AfterReply) {
        (self.reply.take(), self.next)
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the other replies answer commands that this dialect does not have"
)]
fn reply_message(reply: Reply) -> Option<Message> {
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

fn error_message(error: &Error) -> Message {
    // The original server sent this reply as a binary message, and its clients expect one.
    if error.reason() == Reason::ManagerRequired {
        return Message::Binary(DENIED.as_bytes().into());
    }
    Message::Text(error_text::for_error(error, ERRORS, "error: ").into_owned())
}
