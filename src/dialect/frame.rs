//! `encode` and `decode`: frames of a 4-byte big-endian length and that many bytes of UTF-8.

use bytes::{Buf, BufMut, BytesMut};

use super::codec::{Action, Answer, Decoded, Input, MAX_MESSAGE_BYTES, Next, StreamCodec};
use super::words;
use crate::model::{Command, Reply};

const HEADER_BYTES: usize = 4;

#[derive(Clone, Copy)]
enum Direction {
    Encode,
    Decode,
}

/// Turns text into bits, or bits into text.
pub(super) struct Frames {
    direction: Direction,
    action: Option<Action>,
    reply: String,
    next: Next,
}

impl Frames {
    /// Text to bits.
    pub(super) fn encode() -> Self {
        Self { direction: Direction::Encode, action: None, reply: String::new(), next: Next::Read }
    }

    /// Bits to text.
    pub(super) fn decode() -> Self {
        Self { direction: Direction::Decode, ..Self::encode() }
    }

    /// One error frame, and the end: the client is out of step, or never was in it.
    fn refuse(&mut self, input: &mut BytesMut, why: &str) -> Decoded {
        input.clear();
        (self.reply, self.next) = (format!("error: {why}"), Next::Close);
        Decoded::Request
    }
}

/// The next frame of a stream.
pub enum Frame {
    /// No whole frame yet.
    Part,
    /// The length 0.
    End,
    /// A length over the limit.
    TooLong,
    /// The bytes of a frame, which was taken off.
    Whole(BytesMut),
}

/// Takes a frame of at most `most` bytes off the input.
pub fn take(input: &mut BytesMut, most: usize) -> Frame {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Frame::Part };
    // A negative length is over the limit too.
    let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    if length == 0 {
        return Frame::End;
    }
    if length > most {
        return Frame::TooLong;
    }
    if input.len() < HEADER_BYTES + length {
        return Frame::Part;
    }
    input.advance(HEADER_BYTES);
    Frame::Whole(input.split_to(length))
}

/// Adds a frame; the longest there is, a reply, has 576 KiB of bits.
pub fn put(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

impl StreamCodec for Frames {
    fn decode(&mut self, input: &mut BytesMut, _event: Input) -> Decoded {
        let bytes = match take(input, MAX_MESSAGE_BYTES) {
            Frame::Part => return Decoded::Pending { quiet: false },
            Frame::End => return Decoded::Close,
            Frame::TooLong => return self.refuse(input, words::TOO_LONG),
            Frame::Whole(bytes) => bytes,
        };
        let Ok(text) = String::from_utf8(bytes.into()) else {
            return self.refuse(input, words::NOT_UTF8);
        };
        self.action = Some(Action::Run(match self.direction {
            Direction::Encode => Command::Encode { text },
            Direction::Decode => Command::Decode { bits: text },
        }));
        Decoded::Request
    }

    fn next(&mut self, _out: &mut BytesMut) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: Answer, _out: &mut BytesMut) {
        self.reply = match answer {
            Ok(Some(Reply::Encoded { bits: text } | Reply::Decoded { text })) => text,
            Ok(_) => String::new(),
            Err(error) => format!("error: {}", error.message()),
        };
    }

    fn finish(&mut self, out: &mut BytesMut) -> Next {
        put(std::mem::take(&mut self.reply).as_bytes(), out);
        self.next
    }
}
