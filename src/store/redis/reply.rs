//! Decoding of Redis's answers.

use bytes::Bytes;
use redis::Value as RedisValue;

use crate::model::{Entry, Error, Result, UnixMillis, Value};

const TEXT: u8 = 1;
const EXPIRES: u8 = 2;

/// Parts of an answer, in order.
pub(super) struct ReplyParts(std::vec::IntoIter<RedisValue>);

impl ReplyParts {
    pub(super) fn new(parts: Vec<RedisValue>) -> Self {
        Self(parts.into_iter())
    }

    /// Returns the next part, of any type.
    pub(super) fn next(&mut self) -> Option<RedisValue> {
        self.0.next()
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let number = match self.0.next() {
            Some(RedisValue::Int(number)) => u64::try_from(number).ok(),
            Some(RedisValue::BulkString(digits)) => {
                std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        number.ok_or_else(|| unexpected("a number"))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.0.next() {
            Some(RedisValue::BulkString(bytes)) => Ok(bytes),
            _ => Err(unexpected("bytes")),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(Error::internal)
    }

    pub(super) fn text_or_empty(&mut self) -> Result<String> {
        if self.0.as_slice().is_empty() { Ok(String::new()) } else { self.text() }
    }

    pub(super) fn epoch(&mut self) -> Result<u64> {
        let bytes: [u8; 8] = self.bytes()?.try_into().map_err(|_| unexpected("an epoch"))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Reads a function's answer: its parts if it was done, else the refusal.
pub(super) fn outcome(
    answer: RedisValue,
) -> Result<std::result::Result<ReplyParts, Vec<RedisValue>>> {
    let RedisValue::Array(parts) = answer else { return Err(unexpected("an outcome")) };
    let mut parts = ReplyParts::new(parts);
    match parts.bytes()?.as_slice() {
        b"+" => Ok(Ok(parts)),
        // '-': refused, and the access was put on record.
        b"!" | b"-" => Ok(Err(parts.0.collect())),
        _ => Err(unexpected("an outcome")),
    }
}

/// Decodes an entry, or `None` if there is none.
pub(super) fn entry(answer: RedisValue) -> Result<Option<Entry>> {
    match answer {
        RedisValue::Nil => Ok(None),
        RedisValue::BulkString(bytes) => decode(bytes).map(Some),
        _ => Err(unexpected("an entry")),
    }
}

/// Decodes an entry: flags, revision, expiry if it has one, value.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Entry> {
    let short = || unexpected("a whole entry");
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

/// Flags of a value; the functions add the one for an expiry.
pub(super) fn flags(text: bool) -> u8 {
    if text { TEXT } else { 0 }
}

/// `INTERNAL`: an answer that no function gives.
pub(super) fn unexpected(wanted: &str) -> Error {
    Error::internal(format!("Redis answered something else than {wanted}"))
}

/// Length of the record of a store where nothing expires.
const PLAIN_RECORD: usize = 32;

/// Reads revision and earliest expiry from a store's record: epoch, revision, bytes, earliest
/// expiry (not in the record of a store where nothing expires), and more.
pub(super) fn revision_and_next(record: &[u8]) -> Option<(u64, Option<UnixMillis>)> {
    let plain = record.len() == PLAIN_RECORD;
    let (_, rest) = record.split_first_chunk::<8>()?;
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (_, rest) = rest.split_first_chunk::<8>()?;
    let (next, _) = rest.split_first_chunk::<8>()?;
    let next = if plain { None } else { time(u64::from_le_bytes(*next)) };
    Some((u64::from_le_bytes(*revision), next))
}

/// Point in time from its form in the functions; 0: never.
pub(super) fn time(millis: u64) -> Option<UnixMillis> {
    (millis > 0).then_some(UnixMillis::new(millis))
}
