//! Requests to commands.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_varint, skip_field};
use prost_types::{Duration, Timestamp};

use crate::model::request::Batch;
use crate::model::{
    Error, Expiry, MAX_BATCH_OPERATIONS, Operations, Reason, RequestId, Result as Checked,
};
use crate::pb::codec::{Incoming, Malformed};
use crate::pb::request::no_value;
use crate::pb::time;

type Result<T> = std::result::Result<T, Malformed>;

/// The size of the smallest operation in bytes: a get of a key of one byte.
const LEAST_OPERATION: usize = 5;

/// A BatchRequest: a command, or the reason why it is none.
#[derive(Debug)]
pub struct BatchCall(pub(crate) Checked<Batch>);

/// A PipelineRequest: its number in the stream, and a command, or the reason why it is none.
#[derive(Debug)]
pub struct PipelineCall {
    pub(crate) id: u64,
    pub(crate) batch: Checked<Batch>,
}

impl Incoming for BatchCall {
    fn decode(message: Bytes) -> Result<Self> {
        let (operations, request_id) = (bytes(1), bytes(2));
        batch(Fields::new(&message), operations, request_id, None).map(|(_, batch)| Self(batch))
    }
}

impl Incoming for PipelineCall {
    fn decode(message: Bytes) -> Result<Self> {
        let (id, operations, request_id) = (number(1), bytes(2), bytes(3));
        let (id, batch) = batch(Fields::new(&message), operations, request_id, Some(id))?;
        Ok(Self { id, batch })
    }
}

impl TryFrom<BatchCall> for Batch {
    type Error = Error;

    fn try_from(call: BatchCall) -> Checked<Self> {
        call.0
    }
}

/// The fields of a message that are not read yet, and the whole message around it.
struct Fields<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

/// A field's tag: its number and how its content is encoded (Protocol Buffers, Encoding, "Message
/// Structure").
const fn number(field: u8) -> u64 {
    (field as u64) << 3
}

const fn bytes(field: u8) -> u64 {
    (field as u64) << 3 | 2
}

impl<'a> Fields<'a> {
    fn new(whole: &'a Bytes) -> Self {
        Self { whole, rest: whole }
    }

    /// Reads the next field's tag, or returns `None` at the end of the message.
    fn tag(&mut self) -> Result<Option<u64>> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<u64> {
        decode_varint(&mut self.rest).map_err(|_| Malformed)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Reads the message that the next field holds.
    fn message(&mut self) -> Result<Fields<'a>> {
        Ok(Fields { whole: self.whole, rest: self.bytes()? })
    }

    /// Passes over a field of a newer contract. Fields up to `known` belong to this one, and have
    /// another encoding than this tag says.
    #[cold]
    fn skip(&mut self, tag: u64, known: u32) -> Result<()> {
        let field = u32::try_from(tag).map_err(|_| Malformed)? >> 3;
        let wire_type = WireType::try_from(tag & 7).map_err(|_| Malformed)?;
        if field <= known {
            return Err(Malformed);
        }
        skip_field(wire_type, field, &mut self.rest, DecodeContext::default())
            .map_err(|_| Malformed)
    }
}

fn batch(
    mut from: Fields<'_>,
    operation: u64,
    request_id: u64,
    id: Option<u64>,
) -> Result<(u64, Checked<Batch>)> {
    let known = if id.is_some() { 3 } else { 2 };
    let (mut operations, mut number, mut retry_id) = (Operations::default(), 0, "");
    // The first operation at fault. The message is read to its end all the same: a malformed one
    // is refused as that.
    let mut wrong = None;
    while let Some(tag) = from.tag()? {
        if tag == operation {
            let message = from.message()?;
            if operations.is_empty() {
                // Most batches have operations of one size.
                let more = from.rest.len() / message.rest.len().max(LEAST_OPERATION);
                operations = Operations::of(from.whole, 1 + more.min(MAX_BATCH_OPERATIONS));
            }
            if let Err(error) = add_operation(message, &mut operations)?
                && wrong.is_none()
            {
                wrong = Some(error.in_operation(operations.len()));
            }
        } else if tag == request_id {
            retry_id = from.text()?;
        } else if Some(tag) == id {
            number = from.varint()?;
        } else {
            from.skip(tag, known)?;
        }
    }
    let batch = RequestId::new(retry_id.to_owned()).and_then(|request_id| match wrong {
        None => Ok(Batch { operations, request_id }),
        Some(error) => Err(error),
    });
    Ok((number, batch))
}

/// The operation that an Operation holds. A second field of the same kind adds to the first, one of
/// another kind replaces it (Protocol Buffers, Encoding, "Last One Wins").
enum Kind<'a> {
    Get(&'a str),
    Put(PutFields<'a>),
    Delete(DeleteFields<'a>),
}

fn add_operation(mut from: Fields<'_>, to: &mut Operations) -> Result<Checked<()>> {
    const GET: u64 = bytes(1);
    const PUT: u64 = bytes(2);
    const DELETE: u64 = bytes(3);

    let mut kind = None;
    while let Some(tag) = from.tag()? {
        kind = Some(match (tag, kind) {
            (GET, Some(Kind::Get(key))) => Kind::Get(get(from.message()?, key)?),
            (GET, _) => Kind::Get(get(from.message()?, "")?),
            (PUT, Some(Kind::Put(fields))) => Kind::Put(put(from.message()?, fields)?),
            (PUT, _) => Kind::Put(put(from.message()?, PutFields::default())?),
            (DELETE, Some(Kind::Delete(fields))) => Kind::Delete(delete(from.message()?, fields)?),
            (DELETE, _) => Kind::Delete(delete(from.message()?, DeleteFields::default())?),
            (_, unchanged) => {
                from.skip(tag, 3)?;
                kind = unchanged;
                continue;
            }
        });
    }
    Ok(match kind {
        Some(Kind::Get(key)) => to.get(key),
        Some(Kind::Put(fields)) => fields.add(to),
        Some(Kind::Delete(DeleteFields { key, if_revision })) => to.delete(key, if_revision),
        None => Err(Error::new(Reason::InvalidBatch, "no operation; set `get`, `put` or `delete`")),
    })
}

#[inline]
fn get<'a>(mut from: Fields<'a>, mut key: &'a str) -> Result<&'a str> {
    while let Some(tag) = from.tag()? {
        if tag == bytes(1) {
            key = from.text()?;
        } else {
            from.skip(tag, 1)?;
        }
    }
    Ok(key)
}

#[derive(Default)]
struct PutFields<'a> {
    key: &'a str,
    /// The value, and true if it is text.
    value: Option<(&'a [u8], bool)>,
    expiry: Option<ExpiryField>,
    if_revision: Option<u64>,
}

enum ExpiryField {
    Ttl(Duration),
    Time(Timestamp),
}

#[inline]
fn put<'a>(mut from: Fields<'a>, mut fields: PutFields<'a>) -> Result<PutFields<'a>> {
    const KEY: u64 = bytes(1);
    const TEXT: u64 = bytes(2);
    const BLOB: u64 = bytes(3);
    const TTL: u64 = bytes(4);
    const EXPIRE_TIME: u64 = bytes(5);
    const IF_REVISION: u64 = number(6);

    while let Some(tag) = from.tag()? {
        match tag {
            KEY => fields.key = from.text()?,
            TEXT => fields.value = Some((from.text()?.as_bytes(), true)),
            BLOB => fields.value = Some((from.bytes()?, false)),
            TTL | EXPIRE_TIME => fields.add_expiry(tag == TTL, from.bytes()?)?,
            IF_REVISION => fields.if_revision = Some(from.varint()?),
            _ => from.skip(tag, 6)?,
        }
    }
    Ok(fields)
}

impl PutFields<'_> {
    #[cold]
    fn add_expiry(&mut self, ttl: bool, message: &[u8]) -> Result<()> {
        self.expiry = Some(match (ttl, self.expiry.take()) {
            (true, Some(ExpiryField::Ttl(known))) => ExpiryField::Ttl(merged(known, message)?),
            (true, _) => ExpiryField::Ttl(merged(Duration::default(), message)?),
            (false, Some(ExpiryField::Time(known))) => ExpiryField::Time(merged(known, message)?),
            (false, _) => ExpiryField::Time(merged(Timestamp::default(), message)?),
        });
        Ok(())
    }

    fn add(self, to: &mut Operations) -> Checked<()> {
        let (value, text) = self.value.ok_or_else(no_value)?;
        let expiry = match self.expiry {
            None => None,
            Some(expiry) => {
                // The value's error comes first, as for a single Put.
                Operations::check_value(value, text)?;
                Some(expiry.checked()?)
            }
        };
        to.put(self.key, value, text, expiry, self.if_revision)
    }
}

impl ExpiryField {
    #[cold]
    fn checked(self) -> Checked<Expiry> {
        match self {
            Self::Ttl(ttl) => time::ttl(ttl),
            Self::Time(at) => time::expire_time(at),
        }
    }
}

/// Adds the fields of a message to those that came before.
fn merged<M: Message>(mut known: M, message: &[u8]) -> Result<M> {
    known.merge(message).map_err(|_| Malformed)?;
    Ok(known)
}

#[derive(Default)]
struct DeleteFields<'a> {
    key: &'a str,
    if_revision: Option<u64>,
}

fn delete<'a>(mut from: Fields<'a>, mut fields: DeleteFields<'a>) -> Result<DeleteFields<'a>> {
    const KEY: u64 = bytes(1);
    const IF_REVISION: u64 = number(2);

    while let Some(tag) = from.tag()? {
        match tag {
            KEY => fields.key = from.text()?,
            IF_REVISION => fields.if_revision = Some(from.varint()?),
            _ => from.skip(tag, 2)?,
        }
    }
    Ok(fields)
}
