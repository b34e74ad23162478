//! `hello`: answers every message with "Whose there?".

use bytes::BytesMut;

use super::codec::{Action, ActionResult, AfterReply, Decoded, Input, StreamCodec};
use super::line::{Line, Lines};

/// Codec that gives every message the same answer.
#[derive(Default)]
pub(super) struct HelloCodec {
    lines: Lines,
    next: AfterReply,
}

impl StreamCodec for HelloCodec {
    fn decode(&mut self, input: &mut BytesMut, event: Input) -> Decoded {
        match self.lines.next(input, event) {
            Line::Pending { quiet } => return Decoded::Pending { quiet },
            Line::Whole(_) => {}
            Line::TooLong => self.next = AfterReply::Close,
        }
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        None
    }

    fn answer(&mut self, _answer: ActionResult, _out: &mut BytesMut) {}

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        out.extend_from_slice(b"Whose there?");
        self.lines.end(out);
        self.next
    }
}
