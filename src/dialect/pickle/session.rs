//! What a pickle connection is in the middle of, on TCP and on WebSocket alike.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::BytesMut;

use super::BadPickle;
use super::machine::Pickled;
use super::requests::{self, Ask};
use super::write;
use crate::dialect::codec::{Action, Answer, Decoded, MAX_REPLY_BYTES, Next};
use crate::dialect::words;
use crate::model::{Command, Error, Reason, Reply, UserName, Value};

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal request";
const INVALID_NAME: &str = "Invalid username";
const NAMING: &[(Reason, &str)] =
    &[(Reason::NameInUse, INVALID_NAME), (Reason::InvalidName, INVALID_NAME)];
const WORDS: &[(Reason, &str)] = &[
    (Reason::KeyNotFound, "Invalid key"),
    (Reason::UserNotFound, INVALID_NAME),
    (Reason::InvalidName, INVALID_NAME),
    (Reason::ManagerRequired, "Access Denied"),
    (Reason::UpgradeNotAllowed, "Access Denied"),
];

#[derive(Default)]
enum State {
    #[default]
    Unnamed,
    SigningIn,
    Open,
    /// Without a user: what the first request is answered.
    Refused(Cow<'static, str>),
}

/// One part of the request in hand.
enum Slot {
    /// One string of the reply, as it is.
    Words(Cow<'static, str>),
    /// One string of the reply, when the answer comes.
    Run(Command),
    /// Nothing of the reply.
    Silent(Action),
}

/// A connection's user, and the reply in hand.
#[derive(Default)]
pub(in crate::dialect) struct Session {
    state: State,
    slots: VecDeque<Slot>,
    // Whether the request in hand is answered by a list; a name and a line for the log are not.
    list: bool,
    // Whether the reply in hand has come to its limit.
    full: bool,
    // How long it is so far.
    said: usize,
    next: Next,
}

impl Session {
    /// Whether the client has said who it is, well or badly.
    pub(in crate::dialect) fn is_named(&self) -> bool {
        !matches!(self.state, State::Unnamed)
    }

    /// Takes the user's name.
    pub(in crate::dialect) fn name(&mut self, name: &[u8]) -> Decoded {
        self.list = false;
        match std::str::from_utf8(name).ok().and_then(|name| UserName::new(name).ok()) {
            Some(name) => {
                self.state = State::SigningIn;
                self.slots.push_back(Slot::Silent(Action::SignIn(name)));
            }
            None => self.state = State::Refused(INVALID_NAME.into()),
        }
        Decoded::Request
    }

    /// Takes a pickle.
    pub(in crate::dialect) fn request(&mut self, pickle: &Pickled) -> Decoded {
        if let State::Refused(words) = &self.state {
            let words = words.clone();
            return self.close(words);
        }
        let asks = match requests::read(pickle) {
            Ok(asks) => asks,
            Err(bad) => return self.refuse(bad),
        };
        (self.list, self.full) = (true, false);
        self.slots.extend(asks.into_iter().map(|ask| match ask {
            Ask::Run(command) => Slot::Run(command),
            Ask::Illegal => Slot::Words(ILLEGAL.into()),
            Ask::Refuse(error) => Slot::Words(error_words(&error)),
        }));
        Decoded::Request
    }

    /// Answers what is no pickle of requests, and closes.
    pub(in crate::dialect) fn refuse(&mut self, bad: BadPickle) -> Decoded {
        self.slots.push_back(Slot::Silent(Action::Log(format!("refused a pickle: {bad}").into())));
        self.close(ILLEGAL.into())
    }

    /// Answers the first message, which is no name, and closes.
    pub(in crate::dialect) fn refuse_name(&mut self) -> Decoded {
        self.close(INVALID_NAME.into())
    }

    fn close(&mut self, words: Cow<'static, str>) -> Decoded {
        (self.list, self.next) = (true, Next::Close);
        self.slots.push_back(Slot::Words(words));
        Decoded::Request
    }

    /// The next action, after what is said without one.
    pub(in crate::dialect) fn next(&mut self, out: &mut BytesMut) -> Option<Action> {
        loop {
            match self.slots.pop_front()? {
                Slot::Words(words) => self.say(&words, out),
                Slot::Run(command) if self.full && words::is_read(&command) => {
                    self.say_too_long(out)
                }
                Slot::Run(command) => return Some(Action::Run(command)),
                Slot::Silent(action) => return Some(action),
            }
        }
    }

    /// Takes the answer to the action that was last given.
    pub(in crate::dialect) fn answer(&mut self, answer: Answer, out: &mut BytesMut) {
        match (&self.state, answer) {
            (State::SigningIn, Ok(_)) => self.state = State::Open,
            (State::SigningIn, Err(error)) => {
                self.state = State::Refused(words::for_error(&error, NAMING, PREFIX));
            }
            // Of a line for the log.
            (_, Ok(None)) => {}
            (_, Ok(Some(Reply::Get(entry) | Reply::GetOther(entry)))) => {
                self.say_value(&entry.value, out)
            }
            (_, Ok(Some(reply))) => self.say(reply_words(&reply), out),
            (_, Err(error)) => self.say(&error_words(&error), out),
        }
    }

    /// Completes the reply.
    pub(in crate::dialect) fn finish(&mut self, out: &mut BytesMut) -> Next {
        // An idle connection keeps no room for thousands of requests.
        self.slots = VecDeque::new();
        if self.list {
            self.begin(out);
            write::end_list(out);
        }
        self.said = 0;
        self.next
    }

    /// Adds a value to the list, unless that would make the reply too long.
    fn say_value(&mut self, value: &Value, out: &mut BytesMut) {
        let text = String::from_utf8_lossy(value.as_bytes());
        if self.said + text.len() > MAX_REPLY_BYTES {
            self.full = true;
            return self.say_too_long(out);
        }
        self.say(&text, out);
    }

    fn say_too_long(&mut self, out: &mut BytesMut) {
        self.say(&format!("{PREFIX}{}", words::REPLY_TOO_LONG), out);
    }

    /// Adds a string to the list.
    fn say(&mut self, words: &str, out: &mut BytesMut) {
        self.begin(out);
        self.said += words.len();
        write::string(words, out);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if self.said == 0 {
            let before = out.len();
            write::begin_list(out);
            self.said = out.len() - before;
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the other replies answer commands that this dialect does not have"
)]
fn reply_words(reply: &Reply) -> &'static str {
    match reply {
        Reply::Put(_) => "Successful",
        Reply::Upgrade(_) => "mode change successfull",
        _ => ILLEGAL,
    }
}

fn error_words(error: &Error) -> Cow<'static, str> {
    words::for_error(error, WORDS, PREFIX)
}
