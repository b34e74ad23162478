//! Framing of bare text: a request ends at a newline, at the end of input, or after a pause if the
//! client has never sent a newline.

use bytes::BytesMut;

use super::codec::{Input, MAX_MESSAGE_BYTES};

/// Result of framing.
pub(super) enum Line {
    /// No request is complete; a pause would complete one if `quiet`.
    Pending { quiet: bool },
    /// A request, without its terminator.
    Whole(BytesMut),
    /// More than 64 KiB without a terminator. The input was dropped, and the connection must close.
    TooLong,
}

/// Splits a stream into requests, and terminates replies in the same way as their requests.
#[derive(Default)]
pub(super) struct Lines {
    // Length of the input's start that is known to hold no newline; it is not searched again.
    scanned: usize,
    // True if the latest request ended in a newline.
    newline: bool,
    // True once a request has ended in a newline: from then on, no pause ends one.
    by_newline: bool,
}

impl Lines {
    /// Takes the next request off `input`.
    pub(super) fn next(&mut self, input: &mut BytesMut, event: Input) -> Line {
        let unseen = input.get(self.scanned..).unwrap_or_default();
        if let Some(end) = unseen.iter().position(|byte| *byte == b'\n').map(|at| self.scanned + at)
            && end <= MAX_MESSAGE_BYTES
        {
            let mut line = input.split_to(end + 1);
            line.truncate(end);
            // telnet terminates lines with CR LF.
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            return self.whole(line, true);
        }
        if input.len() > MAX_MESSAGE_BYTES {
            input.clear();
            self.scanned = 0;
            return Line::TooLong;
        }
        let ended = match event {
            Input::Bytes => false,
            Input::Quiet => !self.by_newline,
            Input::End => true,
        };
        if !ended || input.is_empty() {
            self.scanned = input.len();
            return Line::Pending { quiet: !input.is_empty() && !self.by_newline };
        }
        self.whole(input.split(), false)
    }

    fn whole(&mut self, line: BytesMut, newline: bool) -> Line {
        self.scanned = 0;
        self.newline = newline;
        self.by_newline |= newline;
        Line::Whole(line)
    }

    /// Terminates a reply, or another message to the client, like the client's latest request.
    pub(super) fn end(&self, out: &mut BytesMut) {
        if self.newline {
            out.extend_from_slice(b"\n");
        }
    }
}

/// Returns true for the first line of an HTTP request. A web page can make a browser send one to a
/// port of its own machine, with commands of the page's choice in the body.
pub fn is_http(line: &[u8]) -> bool {
    let mut words = line.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    let Some([major, b'.', minor]) = version else { return false };
    major.is_ascii_digit() && minor.is_ascii_digit()
}
