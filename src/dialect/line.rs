//! Framing of bare text: a request ends at a newline, at the end of input, or when it has been
//! quiet.

use bytes::BytesMut;

use super::codec::{Input, MAX_MESSAGE_BYTES};

/// What the framing made of the input.
pub(super) enum Line {
    /// No request is complete; a pause would complete one if `quiet`.
    Pending { quiet: bool },
    /// A request, its terminator taken off.
    Whole(BytesMut),
    /// More than 64 KiB without an end. The input is dropped: the connection must close.
    TooLong,
}

/// Cuts a stream into requests, and ends replies as their requests ended.
#[derive(Default)]
pub(super) struct Lines {
    // How much of the input holds no newline: what was looked at once is not looked at again.
    scanned: usize,
    // Whether the latest request ended in a newline.
    newline: bool,
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
            // telnet ends its lines in both.
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
        if event == Input::Bytes || input.is_empty() {
            self.scanned = input.len();
            return Line::Pending { quiet: !input.is_empty() };
        }
        self.whole(input.split(), false)
    }

    fn whole(&mut self, line: BytesMut, newline: bool) -> Line {
        self.scanned = 0;
        self.newline = newline;
        Line::Whole(line)
    }

    /// Ends a reply, or another message to the client, as the client's latest request ended.
    pub(super) fn end(&self, out: &mut BytesMut) {
        if self.newline {
            out.extend_from_slice(b"\n");
        }
    }
}

/// Whether a line is the first of an HTTP request. A web page can make a browser send one to a door
/// on its own machine, with lines of its own in the body.
pub fn is_http(line: &[u8]) -> bool {
    let mut words = line.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}
