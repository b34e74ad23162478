//! Requests to commands.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::decode_varint;

use crate::model::{Command, Delete, Key, MAX_BATCH_OPERATIONS, Operation, Put, RequestId, Result as Checked, Value};
use crate::pb::command::no_value;
use crate::pb::v1;

/// A message that the generated code is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

type Result<T> = std::result::Result<T, Unusual>;

/// The bytes of a get of a key of one byte.
const LEAST_OPERATION: usize = 5;

/// A message's bytes, and the part of them that was not read.
struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

/// A field's tag: its number and how its content is encoded (Protocol Buffers, Encoding, "Message Structure").
const fn number(field: u8) -> u64 {
    (field as u64) << 3
}

const fn bytes(field: u8) -> u64 {
    (field as u64) << 3 | 2
}

impl<'a> Reader<'a> {
    fn new(whole: &'a Bytes) -> Self {
        Self { whole, rest: whole }
    }

    /// The next field's tag; `None`: the message is over.
    fn tag(&mut self) -> Result<Option<u64>> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => decode_varint(&mut self.rest).map_err(|_| Unusual),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Unusual)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unusual)
    }

    /// The message that the next field holds.
    fn message(&mut self) -> Result<Reader<'a>> {
        Ok(Reader { whole: self.whole, rest: self.bytes()? })
    }
}

/// Keeps a field's content; one that comes twice is for the generated code.
fn once<T>(field: &mut Option<T>, content: T) -> Result<()> {
    if field.replace(content).is_some() { Err(Unusual) } else { Ok(()) }
}

/// Reads a GetRequest.
pub(crate) fn read_get(message: &Bytes) -> Result<Checked<Command>> {
    Ok(get(Reader::new(message))?.map(|key| Command::Get { key }))
}

/// Reads a PutRequest.
pub(crate) fn read_put(message: &Bytes) -> Result<Checked<Command>> {
    let (put, request_id) = put(Reader::new(message))?;
    Ok(RequestId::new(request_id.to_owned()).and_then(|request_id| Ok(Command::Put { put: put?, request_id })))
}

/// Reads a BatchRequest.
pub(crate) fn read_batch(message: &Bytes) -> Result<Checked<Command>> {
    let (operations, request_id) = (bytes(1), bytes(2));
    batch(Reader::new(message), operations, request_id, None).map(|(_, command)| command)
}

/// Reads a PipelineRequest: its id and its batch.
pub(crate) fn read_pipeline(message: &Bytes) -> Result<(u64, Checked<Command>)> {
    let (id, operations, request_id) = (number(1), bytes(2), bytes(3));
    batch(Reader::new(message), operations, request_id, Some(id))
}

fn batch(mut from: Reader<'_>, operation: u64, request_id: u64, id: Option<u64>) -> Result<(u64, Checked<Command>)> {
    let (mut operations, mut number, mut retry_id) = (Vec::new(), None, None);
    // The first that is wrong; the message is read to its end all the same, since what cannot be read comes first.
    let mut wrong = None;
    while let Some(tag) = from.tag()? {
        if tag == operation {
            let message = from.message()?;
            if operations.is_empty() {
                // Most batches have operations of one size.
                let more = from.rest.len() / message.rest.len().max(LEAST_OPERATION);
                operations.reserve(1 + more.min(MAX_BATCH_OPERATIONS));
            }
            match read_operation(message)? {
                Ok(operation) => operations.push(operation),
                Err(error) if wrong.is_none() => wrong = Some(error.in_operation(operations.len())),
                Err(_) => {}
            }
        } else if tag == request_id {
            once(&mut retry_id, from.text()?)?;
        } else if Some(tag) == id {
            once(&mut number, from.varint()?)?;
        } else {
            return Err(Unusual);
        }
    }
    let command = RequestId::new(retry_id.unwrap_or_default().to_owned()).and_then(|request_id| match wrong {
        None => Ok(Command::Batch { operations, request_id }),
        Some(error) => Err(error),
    });
    Ok((number.unwrap_or_default(), command))
}

#[inline]
fn read_operation(mut from: Reader<'_>) -> Result<Checked<Operation>> {
    const GET: u64 = bytes(1);
    const PUT: u64 = bytes(2);
    const DELETE: u64 = bytes(3);

    let all = from.rest;
    let read = match from.tag()? {
        Some(GET) => from.message().and_then(get).map(|key| key.map(|key| Operation::Get { key })),
        Some(PUT) => from.message().and_then(put).and_then(|(put, request_id)| {
            // An operation has no such field.
            if request_id.is_empty() { Ok(put.map(Operation::Put)) } else { Err(Unusual) }
        }),
        Some(DELETE) => from.message().and_then(delete).map(|delete| delete.map(Operation::Delete)),
        Some(_) | None => Err(Unusual),
    };
    match read {
        Ok(read) if from.rest.is_empty() => Ok(read),
        // This one alone: the others may be as usual.
        Ok(_) | Err(Unusual) => v1::Operation::decode(all).map(Operation::try_from).map_err(|_| Unusual),
    }
}

fn get(mut from: Reader<'_>) -> Result<Checked<Key>> {
    let mut key = None;
    while let Some(tag) = from.tag()? {
        if tag != bytes(1) {
            return Err(Unusual);
        }
        once(&mut key, from.text()?)?;
    }
    Ok(Key::new(key.unwrap_or_default()))
}

/// A put, and its request id if it is one of its own.
#[inline]
fn put(mut from: Reader<'_>) -> Result<(Checked<Put>, &str)> {
    const KEY: u64 = bytes(1);
    const TEXT: u64 = bytes(2);
    const BLOB: u64 = bytes(3);
    const IF_REVISION: u64 = number(6);
    const REQUEST_ID: u64 = bytes(7);

    let (mut key, mut value, mut if_revision, mut request_id) = (None, None, None, None);
    while let Some(tag) = from.tag()? {
        match tag {
            KEY => once(&mut key, from.text()?)?,
            TEXT => once(&mut value, Value::text_of(from.whole, from.text()?))?,
            BLOB => once(
                &mut value,
                Value::blob(from.whole.slice_ref(from.bytes()?)).map_err(|error| error.in_field("blob")),
            )?,
            IF_REVISION => once(&mut if_revision, from.varint()?)?,
            REQUEST_ID => once(&mut request_id, from.text()?)?,
            _ => return Err(Unusual),
        }
    }
    let put = value
        .unwrap_or_else(|| Err(no_value()))
        .and_then(|value| Ok(Put { key: Key::new(key.unwrap_or_default())?, value, expiry: None, if_revision }));
    Ok((put, request_id.unwrap_or_default()))
}

fn delete(mut from: Reader<'_>) -> Result<Checked<Delete>> {
    const KEY: u64 = bytes(1);
    const IF_REVISION: u64 = number(2);

    let (mut key, mut if_revision) = (None, None);
    while let Some(tag) = from.tag()? {
        match tag {
            KEY => once(&mut key, from.text()?)?,
            IF_REVISION => once(&mut if_revision, from.varint()?)?,
            _ => return Err(Unusual),
        }
    }
    Ok(Key::new(key.unwrap_or_default()).map(|key| Delete { key, if_revision }))
}
