//! Arguments of the functions.

use redis::{Cmd, Value};

use super::reply;
use crate::model::{Key, OperationRef, Operations, Outcome, Prefix, UnixMillis};
use crate::store::Batched;

/// Kind of write that a request id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteKind {
    Put,
    Delete,
    Batch,
}

impl WriteKind {
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::Put => "p",
            Self::Delete => "d",
            Self::Batch => "b",
        }
    }

    /// Bytes that the reply counts, without its values.
    pub(super) const fn answer_bytes(self, steps: usize) -> usize {
        match self {
            Self::Put | Self::Delete => 0,
            Self::Batch => size_of::<Batched>() + steps * size_of::<Outcome>(),
        }
    }
}

/// Bytes that a record of a request id counts beside the id and a batch's outcomes.
const RECORD_BYTES: usize = 160;

/// Bytes that a record of this id counts, without the values in its reply.
pub(super) fn record_bytes(id: &str, kind: WriteKind, steps: usize) -> usize {
    RECORD_BYTES + id.len() + kind.answer_bytes(steps)
}

/// Request id, and the key under which it is remembered.
pub(super) struct RememberedId<'a> {
    pub(super) key: &'a str,
    pub(super) id: &'a str,
    pub(super) fingerprint: &'a [u8; 16],
    pub(super) record: usize,
}

/// Reads the answer to a reservation: the time of the first one, if the id was reserved before.
/// `None`: it is not such an answer.
pub(super) fn reserved(answer: &Value) -> Option<Option<UnixMillis>> {
    let Value::Array(parts) = answer else { return None };
    match parts.as_slice() {
        [Value::BulkString(sign)] if sign == b"?" => Some(None),
        [Value::BulkString(sign), Value::Int(first)] if sign == b"?" => {
            Some(u64::try_from(*first).ok().map(UnixMillis::new))
        }
        _ => None,
    }
}

/// Makes operations of a single one.
pub(super) fn one(operation: OperationRef<'_>) -> Operations {
    let mut operations = Operations::default();
    operations.push(operation);
    operations
}

/// Adds an operation's arguments.
pub(super) fn add_operation(command: &mut Cmd, operation: OperationRef<'_>) {
    match operation {
        OperationRef::Get { key } => {
            command.arg("g").arg(key);
        }
        OperationRef::Delete { key, if_revision } => {
            command.arg("d").arg(key);
            add_number(command, if_revision);
        }
        OperationRef::Put(put) => {
            command.arg("p").arg(put.key).arg(reply::flags(put.text));
            add_number(command, put.expire_time.map(UnixMillis::as_u64));
            command.arg(u8::from(put.refuses_passed()));
            add_number(command, put.if_revision);
            command.arg(put.value);
        }
    }
}

fn add_number(command: &mut Cmd, number: Option<u64>) {
    match number {
        Some(number) => command.arg(number),
        None => command.arg(""),
    };
}

/// Returns the bounds of the keys with the prefix after `after`, in the order of their bytes (for
/// ZRANGEBYLEX).
pub(super) fn range(prefix: &Prefix, after: Option<&Key>) -> (Vec<u8>, Vec<u8>) {
    let bound = |sign: u8, bytes: &[u8]| [&[sign], bytes].concat();
    let prefix = prefix.as_str().as_bytes();
    let first = match after.map(|after| after.as_str().as_bytes()) {
        Some(after) if after >= prefix => bound(b'(', after),
        Some(_) | None => bound(b'[', prefix),
    };
    // No byte of UTF-8 is 0xff, so the last byte can be raised by one: the first byte that no key
    // with the prefix has there.
    let last = match prefix.split_last() {
        Some((last, rest)) => [b"(", rest, &[last.saturating_add(1)]].concat(),
        None => b"+".to_vec(),
    };
    (first, last)
}
