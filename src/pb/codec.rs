//! Messages between bytes and types: for each message of the server traits the one decoder or
//! encoder that it has.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The length of the prefix of a message on the wire: a flag and a length (gRPC over HTTP/2,
/// Length-Prefixed-Message).
pub(crate) const PREFIX: usize = 5;

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A message that a client sends.
pub trait Incoming: Sized + Send + 'static {
    /// Reads the message. Its bytes may be kept, and are not copied.
    ///
    /// # Errors
    /// [`Malformed`].
    fn decode(bytes: Bytes) -> Result<Self, Malformed>;
}

impl<M: Message + Default + 'static> Incoming for M {
    fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        <M as Message>::decode(bytes).map_err(|_| Malformed)
    }
}

/// A message that the server sends.
pub trait Outgoing: Send + 'static {
    /// Writes the message behind its prefix.
    fn framed(self) -> Bytes;
}

impl<M: Message + 'static> Outgoing for M {
    fn framed(self) -> Bytes {
        frame(&self)
    }
}

/// A message that is encoded already, with its prefix. An event is encoded once for all streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed(pub(crate) Bytes);

impl Framed {
    /// Encodes a message.
    pub(crate) fn new(message: &impl Message) -> Self {
        Self(frame(message))
    }
}

impl Outgoing for Framed {
    fn framed(self) -> Bytes {
        self.0
    }
}

fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    put_prefix(message.encoded_len(), &mut bytes);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// Adds the prefix of a message of this length, and reserves the room for the message.
pub(crate) fn put_prefix(length: usize, bytes: &mut BytesMut) {
    bytes.reserve(PREFIX + length);
    bytes.put_u8(0);
    // No message of the server's comes near 4 GiB.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// The same decoders and encoders, as tonic's own server and its streams of requests want them.
pub struct Codec<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Outgoing, D: Incoming> tonic::codec::Codec for Codec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<E: Outgoing, D> Encoder for Codec<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // Tonic writes the prefix.
        to.put(message.framed().slice(PREFIX..));
        Ok(())
    }
}

impl<E, D: Incoming> Decoder for Codec<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let message = from.copy_to_bytes(from.remaining());
        D::decode(message).map(Some).map_err(|Malformed| Status::internal("malformed message"))
    }
}
