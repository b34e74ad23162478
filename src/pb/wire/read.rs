//! Requests to commands.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::decode_varint;

use crate::model::{
    Command, Key, MAX_BATCH_OPERATIONS, Operation, Operations, Put, RequestId, Result as Checked,
    Value,
};
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

/// A field's tag: its number and how its content is encoded (Protocol Buffers, Encoding, "Message
/// Structure").
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
        decode_varint(&mut self.rest).map_err(|_| Unusual)
    }

    #[inline]
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
    let key = get(Reader::new(message))?;
    Ok(Key::new(key).map(|key| Command::Get { key }))
}

/// Reads a PutRequest.
pub(crate) fn read_put(message: &Bytes) -> Result<Checked<Command>> {
    let PutFields { key, value, if_revision, request_id } = put(Reader::new(message))?;
    Ok(RequestId::new(request_id.unwrap_or_default().to_owned()).and_then(|request_id| {
        let (value, text) = value.ok_or_else(no_value)?;
        let value = Value::part_of(message, value, text)?;
        let put = Put { key: Key::new(key.unwrap_or_default())?, value, expiry: None, if_revision };
        Ok(Command::Put { put, request_id })
    }))
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

fn batch(
    mut from: Reader<'_>,
    operation: u64,
    request_id: u64,
    id: Option<u64>,
) -> Result<(u64, Checked<Command>)> {
    let (mut operations, mut number, mut retry_id) = (Operations::default(), None, None);
    // The first that is wrong; the message is read to its end all the same, since what cannot be
    // read comes first.
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
            once(&mut retry_id, from.text()?)?;
        } else if Some(tag) == id {
            once(&mut number, from.varint()?)?;
        } else {
            return Err(Unusual);
        }
    }
    let command =
        RequestId::new(retry_id.unwrap_or_default().to_owned()).and_then(
            |request_id| match wrong {
                None => Ok(Command::Batch { operations, request_id }),
                Some(error) => Err(error),
            },
        );
    Ok((number.unwrap_or_default(), command))
}

fn add_operation(mut from: Reader<'_>, to: &mut Operations) -> Result<Checked<()>> {
    const GET: u64 = bytes(1);
    const PUT: u64 = bytes(2);
    const DELETE: u64 = bytes(3);

    let all = from.rest;
    let tag = from.tag()?;
    let (Ok(message), true) = (from.message(), from.rest.is_empty()) else {
        return add_unusual(all, to);
    };
    let added = match tag {
        Some(GET) => get(message).map(|key| to.get(key)),
        Some(PUT) => match put(message) {
            // An operation has no request id.
            Ok(PutFields { key, value: Some((value, text)), if_revision, request_id: None }) => {
                Ok(to.put(key.unwrap_or_default(), value, text, if_revision))
            }
            Ok(_) | Err(Unusual) => Err(Unusual),
        },
        Some(DELETE) => delete(message).map(|(key, if_revision)| to.delete(key, if_revision)),
        Some(_) | None => Err(Unusual),
    };
    match added {
        Ok(added) => Ok(added),
        Err(Unusual) => add_unusual(all, to),
    }
}

/// This one alone: the others may be as usual.
#[cold]
fn add_unusual(message: &[u8], to: &mut Operations) -> Result<Checked<()>> {
    let operation = v1::Operation::decode(message).map_err(|_| Unusual)?;
    Ok(Operation::try_from(operation).map(|operation| to.push(operation.to_ref())))
}

#[inline]
fn get<'a>(mut from: Reader<'a>) -> Result<&'a str> {
    let mut key = None;
    while let Some(tag) = from.tag()? {
        if tag != bytes(1) {
            return Err(Unusual);
        }
        once(&mut key, from.text()?)?;
    }
    Ok(key.unwrap_or_default())
}

/// What a put has, where it has it.
#[derive(Default)]
struct PutFields<'a> {
    key: Option<&'a str>,
    /// UTF-8 if it is text.
    value: Option<(&'a [u8], bool)>,
    if_revision: Option<u64>,
    request_id: Option<&'a str>,
}

#[inline]
fn put<'a>(mut from: Reader<'a>) -> Result<PutFields<'a>> {
    const KEY: u64 = bytes(1);
    const TEXT: u64 = bytes(2);
    const BLOB: u64 = bytes(3);
    const IF_REVISION: u64 = number(6);
    const REQUEST_ID: u64 = bytes(7);

    let mut fields = PutFields::default();
    while let Some(tag) = from.tag()? {
        match tag {
            KEY => once(&mut fields.key, from.text()?)?,
            TEXT => once(&mut fields.value, (from.text()?.as_bytes(), true))?,
            BLOB => once(&mut fields.value, (from.bytes()?, false))?,
            IF_REVISION => once(&mut fields.if_revision, from.varint()?)?,
            REQUEST_ID => once(&mut fields.request_id, from.text()?)?,
            _ => return Err(Unusual),
        }
    }
    Ok(fields)
}

/// A delete's key and its condition.
fn delete<'a>(mut from: Reader<'a>) -> Result<(&'a str, Option<u64>)> {
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
    Ok((key.unwrap_or_default(), if_revision))
}
