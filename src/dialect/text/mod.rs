//! `text`: lines of the command grammar, answered in the original server's wording where it has
//! one, and otherwise in the form in which the command line prints replies.

mod format;
mod info;
mod listing;
mod reply_part;

use std::collections::VecDeque;

use bytes::BytesMut;

use super::codec::{
    Action, ActionResult, AfterReply, Decoded, Input, MAX_REPLY_BYTES, StreamCodec,
};
use super::grammar::{Mode, ParseError, parse, split_blanks};
use super::line::{Line, Lines, is_http};
use super::{commands, error_text};
use crate::model::{Error, Reply};
use listing::ListingReply;
use reply_part::{ReplyPart, ReplyWording};

const PREFIX: &str = "Error: ";
const ILLEGAL: &str = "Illegal command";

/// Codec of one client.
#[derive(Default)]
pub(super) struct TextCodec {
    lines: Lines,
    // True once the first line has come, which tells whether the client speaks text at all.
    begun: bool,
    // Parts of the reply that are still to come, and the wording for the running command.
    parts: VecDeque<ReplyPart>,
    running: Option<ReplyWording>,
    listing: ListingReply,
    // True once the current reply has its first part, which may be empty.
    started: bool,
    // Length of the current reply so far, in bytes.
    length: usize,
    // True once the current reply has reached its limit.
    full: bool,
    next: AfterReply,
}

impl TextCodec {
    fn line(&mut self, line: &[u8]) -> Decoded {
        if is_http(line) || (!std::mem::replace(&mut self.begun, true) && is_no_text(line)) {
            return Decoded::Close;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return self.answer_with(format!("{PREFIX}{}", error_text::NOT_UTF8));
        };
        let split: Vec<&str> = split_blanks(line).collect();
        let calls = match parse(&split, Mode::TextProtocol) {
            Ok(calls) if calls.is_empty() => return self.answer_with(ILLEGAL.to_owned()),
            Ok(calls) => calls,
            Err(error) => return self.answer_with(parse_error_text(&error)),
        };
        match calls.into_iter().map(reply_part::of).collect() {
            Ok(parts) => self.parts = parts,
            Err(error) => return self.answer_with(error_reply(&error)),
        }
        Decoded::Request
    }

    fn answer_with(&mut self, text: String) -> Decoded {
        self.parts.push_back(ReplyPart::Text(text));
        Decoded::Request
    }

    /// Appends the result of a read to the reply, or an error if that would exceed the limit.
    fn push_read(&mut self, part: &[u8], out: &mut BytesMut) {
        if self.length + part.len() > MAX_REPLY_BYTES {
            self.full = true;
            return self.push_too_long(out);
        }
        self.push(part, out);
    }

    fn push_too_long(&mut self, out: &mut BytesMut) {
        self.push(format!("{PREFIX}{}", error_text::REPLY_TOO_LONG).as_bytes(), out);
    }

    /// Appends one command's part to the reply. Parts that bypass [`push_read`](Self::push_read)
    /// are together not much longer than the request line.
    fn push(&mut self, part: &[u8], out: &mut BytesMut) {
        if self.started {
            out.extend_from_slice(b"\n");
            self.length += 1;
        }
        self.started = true;
        self.length += part.len();
        out.extend_from_slice(part);
    }

    fn reply(&mut self, reply: Reply, wording: ReplyWording, out: &mut BytesMut) {
        if let Some(done) = &wording.done {
            return self.push(done.as_bytes(), out);
        }
        if let Some(next) = self.listing.add(&reply, wording.listing.as_deref()) {
            self.parts.push_front(ReplyPart::Run(next, wording));
            return;
        }
        match std::mem::take(&mut self.listing).print() {
            Some(rows) => self.push_read(rows.as_bytes(), out),
            None => self.push_read(&format::reply(reply), out),
        }
    }
}

impl StreamCodec for TextCodec {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => Decoded::Pending { quiet },
            Line::Whole(line) => self.line(&line),
            Line::TooLong => {
                self.next = AfterReply::Close;
                self.answer_with(format!("{PREFIX}{}", error_text::TOO_LONG))
            }
        }
    }

    fn next(&mut self, out: &mut BytesMut) -> Option<Action> {
        loop {
            match self.parts.pop_front()? {
                ReplyPart::Text(text) => self.push(text.as_bytes(), out),
                ReplyPart::Run(command, _) if self.full && commands::is_read(&command) => {
                    self.push_too_long(out)
                }
                ReplyPart::Run(command, wording) => {
                    self.running = Some(wording);
                    return Some(Action::Run(command));
                }
            }
        }
    }

    fn answer(&mut self, answer: ActionResult, out: &mut BytesMut) {
        let Some(wording) = self.running.take() else { return };
        match answer {
            Ok(Some(reply)) => self.reply(reply, wording, out),
            Ok(None) => self.push(b"", out),
            Err(error) => {
                self.listing = ListingReply::default();
                self.push(error_text::for_error(&error, wording.errors, PREFIX).as_bytes(), out);
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        let length = std::mem::take(&mut self.length);
        (self.started, self.full) = (false, false);
        // A line may have had ten thousand commands; an idle connection must not keep their memory.
        self.parts = VecDeque::new();
        self.lines.end(out);
        // A client that sent no newline still waits for a reply.
        if length == 0 && out.is_empty() {
            out.extend_from_slice(b"\n");
        }
        self.next
    }
}

/// Returns true for a first line of another protocol: one with a NUL, the start of a TLS record, or
/// no UTF-8. Lines within such a stream must not run as commands.
fn is_no_text(line: &[u8]) -> bool {
    const TLS_HANDSHAKE: u8 = 0x16;
    line.first() == Some(&TLS_HANDSHAKE) || line.contains(&0) || std::str::from_utf8(line).is_err()
}

/// Returns the reply to a line that does not parse. The original server reported unknown commands
/// and wrong numbers of words as `Illegal command`; all other errors have their own sentence.
fn parse_error_text(error: &ParseError) -> String {
    match error {
        ParseError::UnknownCommand { .. }
        | ParseError::MissingWord { .. }
        | ParseError::UnexpectedOption { .. }
        | ParseError::UnknownOption { .. }
        | ParseError::UnclosedQuote => ILLEGAL.to_owned(),
        ParseError::Rejected { error, .. } => error_reply(error),
        ParseError::DuplicateOption { .. }
        | ParseError::OptionValue { .. }
        | ParseError::InvalidWord { .. } => {
            format!("{PREFIX}{error}")
        }
    }
}

fn error_reply(error: &Error) -> String {
    format!("{PREFIX}{}", error.message())
}
