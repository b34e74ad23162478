//! `text`: lines of the command grammar, answered in the words of the original, and else as the command line prints.

mod info;
mod listing;
mod print;
mod slot;

use std::collections::VecDeque;

use bytes::BytesMut;

use super::codec::{Action, Answer, Decoded, Input, MAX_REPLY_BYTES, Next, StreamCodec};
use super::grammar::{Mode, Wrong, parse, split_blanks};
use super::line::{Line, Lines};
use super::words;
use crate::model::Error;
use listing::Listing;
use slot::Slot;

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal command";

/// One client.
#[derive(Default)]
pub(super) struct Text {
    lines: Lines,
    // What is still to be said: a reply for each command of the line.
    slots: VecDeque<Slot>,
    listing: Listing,
    // Whether the reply in hand has begun: the first command's part may be empty.
    begun: bool,
    next: Next,
}

impl Text {
    fn line(&mut self, line: &[u8]) -> Decoded {
        if is_http(line) {
            return Decoded::Close;
        }
        let Ok(line) = std::str::from_utf8(line) else { return self.words(format!("{PREFIX}{}", words::NOT_UTF8)) };
        let split: Vec<&str> = split_blanks(line).collect();
        let calls = match parse(&split, Mode::Door) {
            Ok(calls) if calls.is_empty() => return self.words(ILLEGAL.to_owned()),
            Ok(calls) => calls,
            Err(wrong) => return self.words(wrong_words(&wrong)),
        };
        let mut actions = Vec::new();
        for parsed in calls {
            match slot::of(parsed) {
                Ok((slot, command)) => {
                    self.slots.push_back(slot);
                    actions.extend(command.map(Action::Run));
                }
                Err(error) => {
                    self.slots.clear();
                    return self.words(error_words(&error));
                }
            }
        }
        Decoded::Request(actions)
    }

    fn words(&mut self, words: String) -> Decoded {
        self.slots.push_back(Slot::Words(words));
        Decoded::Request(Vec::new())
    }

    /// Adds one command's part to the reply.
    fn say(&mut self, part: &[u8], out: &mut BytesMut) {
        if self.begun {
            out.extend_from_slice(b"\n");
        }
        self.begun = true;
        let refusal = format!("{PREFIX}{}", words::REPLY_TOO_LONG);
        let fits = out.len() + part.len() <= MAX_REPLY_BYTES || part.len() <= refusal.len();
        out.extend_from_slice(if fits { part } else { refusal.as_bytes() });
    }

    /// Says what needs no answer, up to what does.
    fn say_words(&mut self, out: &mut BytesMut) {
        while let Some(Slot::Words(_)) = self.slots.front() {
            if let Some(Slot::Words(words)) = self.slots.pop_front() {
                self.say(words.as_bytes(), out);
            }
        }
    }
}

impl StreamCodec for Text {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => Decoded::Pending { quiet },
            Line::Whole(line) => self.line(&line),
            Line::TooLong => {
                self.next = Next::Close;
                self.words(format!("{PREFIX}{}", words::TOO_LONG))
            }
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut BytesMut) -> Option<Action> {
        self.say_words(out);
        let Some(Slot::Answer { done, words, listing }) = self.slots.pop_front() else { return None };
        match (answer, done) {
            (Err(error), _) => {
                self.listing = Listing::default();
                self.say(words::for_error(&error, words, PREFIX).as_bytes(), out);
            }
            (Ok(_), Some(done)) => self.say(done.as_bytes(), out),
            (Ok(reply), None) => {
                let next = reply.as_ref().and_then(|reply| self.listing.add(reply, listing.as_ref()));
                if let Some(next) = next {
                    self.slots.push_front(Slot::Answer { done: None, words, listing });
                    return Some(Action::Run(next));
                }
                let part = match std::mem::take(&mut self.listing).print() {
                    Some(rows) => rows.into_bytes(),
                    None => reply.map(print::reply).unwrap_or_default(),
                };
                self.say(&part, out);
            }
        }
        None
    }

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        self.say_words(out);
        self.begun = false;
        self.lines.end(out);
        // A client that sent no newline waits for a reply all the same.
        if out.is_empty() {
            out.extend_from_slice(b"\n");
        }
        self.next
    }
}

/// Whether a line is the first of an HTTP request. A web page can make a browser send one to a door on its own machine,
/// with commands in the body.
fn is_http(line: &[u8]) -> bool {
    let mut words = line.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The original knew unknown commands and wrong numbers of words; the rest is told in full.
fn wrong_words(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Unknown { .. } | Wrong::Missing { .. } | Wrong::Dashes { .. } | Wrong::Option { .. } | Wrong::Quote => {
            ILLEGAL.to_owned()
        }
        Wrong::Refused { error, .. } => error_words(error),
        Wrong::Twice { .. } | Wrong::OptionValue { .. } | Wrong::Word { .. } => format!("{PREFIX}{wrong}"),
    }
}

fn error_words(error: &Error) -> String {
    format!("{PREFIX}{}", error.message())
}
