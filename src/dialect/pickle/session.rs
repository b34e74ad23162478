//! State of a pickle connection, the same on TCP and on WebSocket.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::BytesMut;

use super::BadPickle;
use super::machine::Pickled;
use super::requests::{self, PickleRequest};
use super::write;
use crate::dialect::codec::{Action, ActionResult, AfterReply, Decoded, MAX_REPLY_BYTES};
use crate::dialect::{commands, error_text};
use crate::model::{Command, Error, Reason, Reply, UserName, Value};

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal request";
const INVALID_NAME: &str = "Invalid username";
const SIGN_IN_ERRORS: &[(Reason, &str)] =
    &[(Reason::NameInUse, INVALID_NAME), (Reason::InvalidName, INVALID_NAME)];
const ERRORS: &[(Reason, &str)] = &[
    (Reason::KeyNotFound, "Invalid key"),
    (Reason::UserNotFound, INVALID_NAME),
    (Reason::InvalidName, INVALID_NAME),
    (Reason::ManagerRequired, "Access Denied"),
    (Reason::UpgradeNotAllowed, "Access Denied"),
];

#[derive(Default)]
enum Login {
    #[default]
    Unnamed,
    SigningIn,
    Open,
    /// No user: the text is the answer to the first request.
    Refused(Cow<'static, str>),
}

/// Part of the current request.
enum Step {
    /// A string of the reply that is already known.
    Item(Cow<'static, str>),
    /// A command whose result is a string of the reply.
    Run(Command),
    /// An action without a string in the reply.
    Silent(Action),
}

/// A connection's user, and the reply to the current request.
#[derive(Default)]
pub(in crate::dialect) struct PickleSession {
    login: Login,
    steps: VecDeque<Step>,
    // True if the current request is answered with a list; names and log lines are not.
    list: bool,
    // True once the current reply has reached its limit.
    full: bool,
    // Length of the current reply so far, in bytes.
    length: usize,
    next: AfterReply,
}

impl PickleSession {
    /// Returns true once the client has sent a name, valid or not.
    pub(in crate::dialect) fn is_named(&self) -> bool {
        !matches!(self.login, Login::Unnamed)
    }

    /// Handles the user's name.
    pub(in crate::dialect) fn name(&mut self, name: &[u8]) -> Decoded {
        self.list = false;
        match std::str::from_utf8(name).ok().and_then(|name| UserName::new(name).ok()) {
            Some(name) => {
                self.login = Login::SigningIn;
                self.steps.push_back(Step::Silent(Action::SignIn(name)));
            }
            None => self.login = Login::Refused(INVALID_NAME.into()),
        }
        Decoded::Request
    }

    /// Handles a pickle.
    pub(in crate::dialect) fn request(&mut self, pickle: &Pickled) -> Decoded {
        if let Login::Refused(words) = &self.login {
            let words = words.clone();
            return self.close(words);
        }
        let requests = match requests::read(pickle) {
            Ok(requests) => requests,
            Err(bad) => return self.refuse(bad),
        };
        (self.list, self.full) = (true, false);
        self.steps.extend(requests.into_iter().map(|request| match request {
            PickleRequest::Run(command) => Step::Run(command),
            PickleRequest::Illegal => Step::Item(ILLEGAL.into()),
            PickleRequest::Refuse(error) => Step::Item(error_reply(&error)),
        }));
        Decoded::Request
    }

    /// Answers input that is not a pickle of requests, and closes.
    pub(in crate::dialect) fn refuse(&mut self, bad: BadPickle) -> Decoded {
        self.steps.push_back(Step::Silent(Action::Log(format!("refused a pickle: {bad}").into())));
        self.close(ILLEGAL.into())
    }

    /// Answers a first message that is not a name, and closes.
    pub(in crate::dialect) fn refuse_name(&mut self) -> Decoded {
        self.close(INVALID_NAME.into())
    }

    fn close(&mut self, words: Cow<'static, str>) -> Decoded {
        (self.list, self.next) = (true, AfterReply::Close);
        self.steps.push_back(Step::Item(words));
        Decoded::Request
    }

    /// Returns the next action, after writing the strings that come before it.
    pub(in crate::dialect) fn next(&mut self, out: &mut BytesMut) -> Option<Action> {
        loop {
            match self.steps.pop_front()? {
                Step::Item(words) => self.push(&words, out),
                Step::Run(command) if self.full && commands::is_read(&command) => {
                    self.push_too_long(out)
                }
                Step::Run(command) => return Some(Action::Run(command)),
                Step::Silent(action) => return Some(action),
            }
        }
    }

    /// Takes the result of the latest action.
    pub(in crate::dialect) fn answer(&mut self, answer: ActionResult, out: &mut BytesMut) {
        match (&self.login, answer) {
            (Login::SigningIn, Ok(_)) => self.login = Login::Open,
            (Login::SigningIn, Err(error)) => {
                self.login = Login::Refused(error_text::for_error(&error, SIGN_IN_ERRORS, PREFIX));
            }
            // The result of a log line.
            (_, Ok(None)) => {}
            (_, Ok(Some(Reply::Get(entry) | Reply::GetOther(entry)))) => {
                self.push_value(&entry.value, out)
            }
            (_, Ok(Some(reply))) => self.push(reply_text(&reply), out),
            (_, Err(error)) => self.push(&error_reply(&error), out),
        }
    }

    /// Completes the reply.
    pub(in crate::dialect) fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        // An idle connection must not keep the memory of thousands of requests.
        self.steps = VecDeque::new();
        if self.list {
            self.begin(out);
            write::end_list(out);
        }
        self.length = 0;
        self.next
    }

    /// Appends a value to the list, or an error if that would exceed the limit.
    fn push_value(&mut self, value: &Value, out: &mut BytesMut) {
        let text = String::from_utf8_lossy(value.as_bytes());
        if self.length + text.len() > MAX_REPLY_BYTES {
            self.full = true;
            return self.push_too_long(out);
        }
        self.push(&text, out);
    }

    fn push_too_long(&mut self, out: &mut BytesMut) {
        self.push(&format!("{PREFIX}{}", error_text::REPLY_TOO_LONG), out);
    }

    /// Appends a string to the list.
    fn push(&mut self, words: &str, out: &mut BytesMut) {
        self.begin(out);
        self.length += words.len();
        write::string(words, out);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if self.length == 0 {
            let before = out.len();
            write::begin_list(out);
            self.length = out.len() - before;
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the other replies answer commands that this dialect does not have"
)]
fn reply_text(reply: &Reply) -> &'static str {
    match reply {
        Reply::Put(_) => "Successful",
        Reply::Upgrade(_) => "mode change successfull",
        _ => ILLEGAL,
    }
}

fn error_reply(error: &Error) -> Cow<'static, str> {
    error_text::for_error(error, ERRORS, PREFIX)
}
