//! `encode` and `decode`: frames of a 4-byte big-endian length and that many bytes of UTF-8.

use bytes::{Buf, BufMut, BytesMut};

use super::codec::{
    Action, ActionResult, AfterReply, Decoded, Input, MAX_MESSAGE_BYTES, StreamCodec,
};
use super::error_text;
use crate::model::{Reply, request};

const HEADER_BYTES: usize = 4;

#[derive(Clone, Copy)]
enum Direction {
    Encode,
    Decode,
}

/// Codec that turns text into bits, or bits into text.
pub(super) struct FrameCodec {
    direction: Direction,
    action: Option<Action>,
    reply: String,
    next: AfterReply,
}

impl FrameCodec {
    /// Creates a codec from text to bits.
    pub(super) fn encode() -> Self {
        Self {
            direction: Direction::Encode,
            action: None,
            reply: String::new(),
            next: AfterReply::Continue,
        }
    }

    /// Creates a codec from bits to text.
    pub(super) fn decode() -> Self {
        Self { direction: Direction::Decode, ..Self::encode() }
    }

    /// Answers with one error frame and closes: the stream is out of step with its framing.
    fn refuse(&mut self, input: &mut BytesMut, why: &str) -> Decoded {
        input.clear();
        (self.reply, self.next) = (format!("error: {why}"), AfterReply::Close);
        Decoded::Request
    }
}

/// State of the front of a stream of frames.
pub enum Frame {
    /// The next frame is not complete.
    Incomplete,
    /// A frame of length 0, which ends the stream.
    End,
    /// A frame longer than the limit.
    TooLong,
    /// The content of a frame, removed from the input.
    Whole(BytesMut),
}

/// Takes a frame of at most `most` bytes off the input.
pub fn take(input: &mut BytesMut, most: usize) -> Frame {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Frame::Incomplete };
    // A length that is negative as an `i32` is over the limit too.
    let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    if length == 0 {
        return Frame::End;
    }
    if length > most {
        return Frame::TooLong;
    }
    if input.len() < HEADER_BYTES + length {
        return Frame::Incomplete;
    }
    input.advance(HEADER_BYTES);
    Frame::Whole(input.split_to(length))
}

/// Appends a frame. The longest one is a reply with 576 KiB of bits.
pub fn put(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

impl StreamCodec for FrameCodec {
    fn decode(&mut self, input: &mut BytesMut, _event: Input) -> Decoded {
        let bytes = match take(input, MAX_MESSAGE_BYTES) {
            Frame::Incomplete => return Decoded::Pending { quiet: false },
            Frame::End => return Decoded::Close,
            Frame::TooLong => return self.refuse(input, error_text::TOO_LONG),
            Frame::Whole(bytes) => bytes,
        };
        let Ok(text) = String::from_utf8(bytes.into()) else {
            return self.refuse(input, error_text::NOT_UTF8);
        };
        self.action = Some(Action::Run(match self.direction {
            Direction::Encode => request::Encode { text }.into(),
            Direction::Decode => request::Decode { bits: text }.into(),
        }));
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: ActionResult, _out: &mut BytesMut) {
        self.reply = match answer {
            Ok(Some(Reply::Encode(text) | Reply::Decode(text))) => text,
            Ok(_) => String::new(),
            Err(error) => format!("error: {}", error.message()),
        };
    }

    fn finish(&mut self, out: &mut BytesMut) -> AfterReply {
        put(std::mem::take(&mut self.reply).as_bytes(), out);
        self.next
    }
}
