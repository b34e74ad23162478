//! What Redis answers, taken apart.

use bytes::Bytes;
use redis::Value as Answer;

use crate::model::{Entry, Error, Result, UnixMillis, Value};

const TEXT: u8 = 1;
const EXPIRES: u8 = 2;

/// The parts of an answer, in order.
pub(super) struct Parts(std::vec::IntoIter<Answer>);

impl Parts {
    pub(super) fn new(parts: Vec<Answer>) -> Self {
        Self(parts.into_iter())
    }

    /// The next part, whatever it is.
    pub(super) fn next(&mut self) -> Option<Answer> {
        self.0.next()
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let number = match self.0.next() {
            Some(Answer::Int(number)) => u64::try_from(number).ok(),
            Some(Answer::BulkString(digits)) => {
                std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        number.ok_or_else(|| strange("a number"))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.0.next() {
            Some(Answer::BulkString(bytes)) => Ok(bytes),
            _ => Err(strange("bytes")),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(Error::internal)
    }

    pub(super) fn text_or_empty(&mut self) -> Result<String> {
        if self.0.as_slice().is_empty() { Ok(String::new()) } else { self.text() }
    }

    pub(super) fn epoch(&mut self) -> Result<u64> {
        let bytes: [u8; 8] = self.bytes()?.try_into().map_err(|_| strange("an epoch"))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// What a function answered: its parts if it was done, else what it said instead.
pub(super) fn outcome(answer: Answer) -> Result<std::result::Result<Parts, Vec<Answer>>> {
    let Answer::Array(parts) = answer else { return Err(strange("an outcome")) };
    let mut parts = Parts::new(parts);
    match parts.bytes()?.as_slice() {
        b"+" => Ok(Ok(parts)),
        // With '-', the refusal itself was put on record.
        b"!" | b"-" => Ok(Err(parts.0.collect())),
        _ => Err(strange("an outcome")),
    }
}

/// An entry, if there is one.
pub(super) fn entry(answer: Answer) -> Result<Option<Entry>> {
    match answer {
        Answer::Nil => Ok(None),
        Answer::BulkString(bytes) => decode(bytes).map(Some),
        _ => Err(strange("an entry")),
    }
}

/// Takes an entry apart: flags, revision, expiry if it has one, value.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Entry> {
    let short = || strange("a whole entry");
    let bytes = Bytes::from(bytes);
    let (flags, rest) = bytes.split_first().ok_or_else(short)?;
    let (revision, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (expire_time, value): (Option<UnixMillis>, &[u8]) = if flags & EXPIRES == 0 {
        (None, rest)
    } else {
        let (time, value) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        (Some(UnixMillis::new(u64::from_le_bytes(*time))), value)
    };
    let value = Value::stored(bytes.slice_ref(value), flags & TEXT != 0);
    Ok(Entry { value, revision: u64::from_le_bytes(*revision), expire_time })
}

/// The flags of a value; the functions add that it expires.
pub(super) fn flags(text: bool) -> u8 {
    if text { TEXT } else { 0 }
}

/// Redis answered something that no function of ours answers.
pub(super) fn strange(wanted: &str) -> Error {
    Error::internal(format!("Redis answered something else than {wanted}"))
}

/// The length of the record of a store where nothing expires.
const PLAIN_RECORD: usize = 32;

/// The revision and the next expiry of a store's record: epoch, revision, bytes, next expiry, and
/// more; the next expiry is not in a plain one.
pub(super) fn revision_and_next(record: &[u8]) -> Option<(u64, Option<UnixMillis>)> {
    let plain = record.len() == PLAIN_RECORD;
    let (_, rest) = record.split_first_chunk::<8>()?;
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (_, rest) = rest.split_first_chunk::<8>()?;
    let (next, _) = rest.split_first_chunk::<8>()?;
    let next = if plain { None } else { time(u64::from_le_bytes(*next)) };
    Some((u64::from_le_bytes(*revision), next))
}

/// Point in time as the functions give it; 0: never.
pub(super) fn time(millis: u64) -> Option<UnixMillis> {
    (millis > 0).then_some(UnixMillis::new(millis))
}
