//! `text`: lines of the command grammar, answered in the words of the original, and else as the
//! command line prints.

mod info;
mod listing;
mod print;
mod slot;

use std::collections::VecDeque;

use bytes::BytesMut;

use super::codec::{Action, Answer, Decoded, Input, MAX_REPLY_BYTES, Next, StreamCodec};
use super::grammar::{Mode, Wrong, parse, split_blanks};
use super::line::{Line, Lines, is_http};
use super::words;
use crate::model::{Error, Reply};
use listing::Gathered;
use slot::{Slot, Wording};

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal command";

/// One client.
#[derive(Default)]
pub(super) struct Text {
    lines: Lines,
    // What is left of the line, and how the command that runs is answered.
    slots: VecDeque<Slot>,
    running: Option<Wording>,
    listing: Gathered,
    // Whether the reply in hand has begun: the first command's part may be empty.
    begun: bool,
    // How long it is so far.
    said: usize,
    // Whether it has come to its limit.
    full: bool,
    next: Next,
}

impl Text {
    fn line(&mut self, line: &[u8]) -> Decoded {
        if is_http(line) {
            return Decoded::Close;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return self.words(format!("{PREFIX}{}", words::NOT_UTF8));
        };
        let split: Vec<&str> = split_blanks(line).collect();
        let calls = match parse(&split, Mode::Door) {
            Ok(calls) if calls.is_empty() => return self.words(ILLEGAL.to_owned()),
            Ok(calls) => calls,
            Err(wrong) => return self.words(wrong_words(&wrong)),
        };
        match calls.into_iter().map(slot::of).collect() {
            Ok(slots) => self.slots = slots,
            Err(error) => return self.words(error_words(&error)),
        }
        Decoded::Request
    }

    fn words(&mut self, words: String) -> Decoded {
        self.slots.push_back(Slot::Words(words));
        Decoded::Request
    }

    /// Adds what a command read to the reply, unless that would make it too long.
    fn say_read(&mut self, part: &[u8], out: &mut BytesMut) {
        if self.said + part.len() > MAX_REPLY_BYTES {
            self.full = true;
            return self.say_too_long(out);
        }
        self.say(part, out);
    }

    fn say_too_long(&mut self, out: &mut BytesMut) {
        self.say(format!("{PREFIX}{}", words::REPLY_TOO_LONG).as_bytes(), out);
    }

    /// Adds one command's part to the reply. All that comes here together is not much longer than
    /// the line.
    fn say(&mut self, part: &[u8], out: &mut BytesMut) {
        if self.begun {
            out.extend_from_slice(b"\n");
            self.said += 1;
        }
        self.begun = true;
        self.said += part.len();
        out.extend_from_slice(part);
    }

    fn reply(&mut self, reply: Reply, wording: Wording, out: &mut BytesMut) {
        if let Some(done) = &wording.done {
            return self.say(done.as_bytes(), out);
        }
        if let Some(next) = self.listing.add(&reply, wording.listing.as_deref()) {
            self.slots.push_front(Slot::Run(next, wording));
            return;
        }
        match std::mem::take(&mut self.listing).print() {
            Some(rows) => self.say_read(rows.as_bytes(), out),
            None => self.say_read(&print::reply(reply), out),
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

    fn next(&mut self, out: &mut BytesMut) -> Option<Action> {
        loop {
            match self.slots.pop_front()? {
                Slot::Words(words) => self.say(words.as_bytes(), out),
                Slot::Run(command, _) if self.full && words::is_read(&command) => {
                    self.say_too_long(out)
                }
                Slot::Run(command, wording) => {
                    self.running = Some(wording);
                    return Some(Action::Run(command));
                }
            }
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut BytesMut) {
        let Some(wording) = self.running.take() else { return };
        match answer {
            Ok(Some(reply)) => self.reply(reply, wording, out),
            Ok(None) => self.say(b"", out),
            Err(error) => {
                self.listing = Gathered::default();
                self.say(words::for_error(&error, wording.errors, PREFIX).as_bytes(), out);
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        let said = std::mem::take(&mut self.said);
        (self.begun, self.full) = (false, false);
        // A line may have had ten thousand commands: an idle connection keeps no room for them.
        self.slots = VecDeque::new();
        self.lines.end(out);
        // A client that sent no newline waits for a reply all the same.
        if said == 0 && out.is_empty() {
            out.extend_from_slice(b"\n");
        }
        self.next
    }
}

/// The original knew unknown commands and wrong numbers of words; the rest is told in full.
fn wrong_words(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Unknown { .. }
        | Wrong::Missing { .. }
        | Wrong::Dashes { .. }
        | Wrong::Option { .. }
        | Wrong::Quote => ILLEGAL.to_owned(),
        Wrong::Refused { error, .. } => error_words(error),
        Wrong::Twice { .. } | Wrong::OptionValue { .. } | Wrong::Word { .. } => {
            format!("{PREFIX}{wrong}")
        }
    }
}

fn error_words(error: &Error) -> String {
    format!("{PREFIX}{}", error.message())
}
