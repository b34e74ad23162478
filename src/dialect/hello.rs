//! `hello`: knock knock.

use bytes::BytesMut;

use super::codec::{Action, Answer, Decoded, Input, Next, StreamCodec};
use super::line::{Line, Lines};

/// Answers any message alike.
#[derive(Default)]
pub(super) struct Hello {
    lines: Lines,
    next: Next,
}

impl StreamCodec for Hello {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => return Decoded::Pending { quiet },
            Line::Whole(_) => {}
            Line::TooLong => self.next = Next::Close,
        }
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        None
    }

    fn answer(&mut self, _answer: Answer, _out: &mut BytesMut) {}

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        out.extend_from_slice(b"Whose there?");
        self.lines.end(out);
        self.next
    }
}
