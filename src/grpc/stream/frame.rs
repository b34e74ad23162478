//! Messages as they go over the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

/// Several messages go out together up to this size.
const TOGETHER: usize = 16 << 10;
/// A flag, 0: not compressed, and the length (gRPC over HTTP/2, Length-Prefixed-Message).
pub(in crate::grpc) const PREFIX: usize = 5;

/// A message with its prefix.
pub(in crate::grpc) fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + len);
    bytes.put_u8(0);
    // No message of ours comes near 4 GiB.
    bytes.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// What goes out at once. One message alone is not copied: all streams share its bytes.
#[derive(Default)]
pub(super) struct Batch {
    one: Option<Bytes>,
    more: BytesMut,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.more.is_empty() {
            match self.one.take() {
                None => {
                    self.one = Some(frame);
                    return;
                }
                Some(first) => {
                    self.more.reserve(first.len() + frame.len());
                    self.more.put(first);
                }
            }
        }
        self.more.put(frame);
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
