//! What a pickle connection is in the middle of, on TCP and on WebSocket alike.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};

use super::BadPickle;
use super::machine::Pickled;
use super::requests::{self, Ask};
use crate::dialect::codec::{Action, Answer, Decoded, MAX_REPLY_BYTES, Next};
use crate::dialect::words;
use crate::model::{Error, Reason, Reply, UserName};

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal request";
const INVALID_NAME: &str = "Invalid username";
const NAMING: &[(Reason, &str)] = &[(Reason::NameInUse, INVALID_NAME), (Reason::InvalidName, INVALID_NAME)];
const WORDS: &[(Reason, &str)] = &[
    (Reason::KeyNotFound, "Invalid key"),
    (Reason::UserNotFound, INVALID_NAME),
    (Reason::InvalidName, INVALID_NAME),
    (Reason::ManagerRequired, "Access Denied"),
    (Reason::UpgradeNotAllowed, "Access Denied"),
];
/// MARK and APPENDS around the strings of a list, in protocol 2, which every Python reads.
const LIST: &[u8] = b"\x80\x02](";
const LIST_END: &[u8] = b"e.";
const BINUNICODE: u8 = b'X';

#[derive(Default)]
enum State {
    #[default]
    Unnamed,
    SigningIn,
    Open,
    /// Without a user: what the first request is answered.
    Refused(Cow<'static, str>),
}

/// One string of the reply in hand.
enum Slot {
    /// To be said when an answer comes.
    Answer,
    Words(Cow<'static, str>),
}

/// A connection's user, and the reply in hand.
#[derive(Default)]
pub(in crate::dialect) struct Session {
    state: State,
    slots: VecDeque<Slot>,
    // Whether the request in hand is answered by a list; a name and a line for the log are not.
    list: bool,
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
                Decoded::Request(vec![Action::SignIn(name)])
            }
            None => {
                self.state = State::Refused(INVALID_NAME.into());
                Decoded::Request(Vec::new())
            }
        }
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
        self.list = true;
        let mut actions = Vec::new();
        for ask in asks {
            self.slots.push_back(match ask {
                Ask::Run(command) => {
                    actions.push(Action::Run(command));
                    Slot::Answer
                }
                Ask::Illegal => Slot::Words(ILLEGAL.into()),
                Ask::Refuse(error) => Slot::Words(error_words(&error)),
            });
        }
        Decoded::Request(actions)
    }

    /// Answers what is no pickle of requests, and closes.
    pub(in crate::dialect) fn refuse(&mut self, bad: BadPickle) -> Decoded {
        self.close(ILLEGAL.into());
        Decoded::Request(vec![Action::Log(format!("refused a pickle: {bad}").into())])
    }

    /// Answers the first message, which is no name, and closes.
    pub(in crate::dialect) fn refuse_name(&mut self) -> Decoded {
        self.close(INVALID_NAME.into())
    }

    fn close(&mut self, words: Cow<'static, str>) -> Decoded {
        (self.list, self.next) = (true, Next::Close);
        self.slots = VecDeque::from([Slot::Words(words)]);
        Decoded::Request(Vec::new())
    }

    /// Takes the answer to the next action.
    pub(in crate::dialect) fn answer(&mut self, answer: Answer, out: &mut BytesMut) {
        if let State::SigningIn = self.state {
            self.state = match answer {
                Ok(_) => State::Open,
                Err(error) => State::Refused(words::for_error(&error, NAMING, PREFIX)),
            };
            return;
        }
        // A line for the log comes with no place for an answer.
        if self.say_known(out) {
            self.slots.pop_front();
            say(&answer_words(answer), out);
        }
    }

    /// Completes the reply.
    pub(in crate::dialect) fn finish(&mut self, out: &mut BytesMut) -> Next {
        if self.list {
            self.say_known(out);
            self.slots.clear();
            if out.is_empty() {
                out.put_slice(LIST);
            }
            out.put_slice(LIST_END);
        }
        self.next
    }

    /// Says what is known up to the next place for an answer, and whether there is one.
    fn say_known(&mut self, out: &mut BytesMut) -> bool {
        while let Some(Slot::Words(words)) = self.slots.front() {
            say(words, out);
            self.slots.pop_front();
        }
        !self.slots.is_empty()
    }
}

fn answer_words(answer: Answer) -> Cow<'static, str> {
    match answer {
        Ok(Some(Reply::Entry(entry))) => match entry.value.as_text() {
            Some(text) => text.to_owned().into(),
            None => String::from_utf8_lossy(entry.value.as_bytes()).into_owned().into(),
        },
        Ok(Some(Reply::Put { .. })) => "Successful".into(),
        Ok(Some(Reply::User(_))) => "mode change successfull".into(),
        Ok(_) => ILLEGAL.into(),
        Err(error) => error_words(&error),
    }
}

fn error_words(error: &Error) -> Cow<'static, str> {
    words::for_error(error, WORDS, PREFIX)
}

/// Adds a string to the list.
fn say(words: &str, out: &mut BytesMut) {
    if out.is_empty() {
        out.put_slice(LIST);
    }
    if out.len() + words.len() > MAX_REPLY_BYTES && words.len() > PREFIX.len() + words::REPLY_TOO_LONG.len() {
        return say(&format!("{PREFIX}{}", words::REPLY_TOO_LONG), out);
    }
    out.put_u8(BINUNICODE);
    // At most MAX_REPLY_BYTES.
    out.put_u32_le(u32::try_from(words.len()).unwrap_or(u32::MAX));
    out.put_slice(words.as_bytes());
}
