//! Messages as they go over the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

/// Several messages go out together up to this size.
const TOGETHER: usize = 16 << 10;
/// A flag, 0: not compressed, and the length (gRPC over HTTP/2, Length-Prefixed-Message).
pub(in crate::grpc) const PREFIX: usize = 5;

/// A message with its prefix.
pub(in crate::grpc) fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    put_prefix(message.encoded_len(), &mut bytes);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// Adds the prefix of a message of this length, and makes room for the message.
pub(in crate::grpc) fn put_prefix(length: usize, bytes: &mut BytesMut) {
    bytes.reserve(PREFIX + length);
    bytes.put_u8(0);
    // No message of ours comes near 4 GiB.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// What goes out at once. One message alone is not copied: all streams share its bytes.
#[derive(Default)]
pub(super) struct Batch {
    one: Option<Bytes>,
    more: BytesMut,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.is_empty() {
            self.one = Some(frame);
        } else {
            self.room().put(frame);
        }
    }

    /// Where messages that are this stream's alone are written, framed.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if let Some(first) = self.one.take() {
            self.more.reserve(TOGETHER);
            self.more.put(first);
        }
        &mut self.more
    }

    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.more.is_empty()
    }

    /// Whether no more should go with it.
    pub(super) fn is_full(&self) -> bool {
        self.more.len() >= TOGETHER || self.one.as_ref().is_some_and(|one| one.len() >= TOGETHER)
    }

    /// All of it, if there is anything.
    pub(super) fn finish(self) -> Option<Bytes> {
        if self.more.is_empty() { self.one } else { Some(self.more.freeze()) }
    }
}
