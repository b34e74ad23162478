//! Replies to responses: values go from where the store gave them straight into what is sent.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::model::{Batched, Entry, Outcome};
use crate::pb::codec::{Framed, Outgoing, put_prefix};
use crate::pb::{reply, time};

/// A BatchResponse.
#[derive(Debug)]
pub struct BatchAnswer(Batched);

impl From<Batched> for BatchAnswer {
    fn from(batched: Batched) -> Self {
        Self(batched)
    }
}

impl Outgoing for BatchAnswer {
    fn framed(self) -> Bytes {
        write(&self.0, 1, 0)
    }
}

/// Encodes a PipelineResponse.
pub(crate) fn pipeline_answer(id: u64, batched: &Batched) -> Framed {
    Framed(write(batched, 2, id))
}

/// Encodes a response, framed. `results` is the number of the results' field: the revision's and
/// the durability's follow it, that of an id precedes it.
fn write(batched: &Batched, results: u8, id: u64) -> Bytes {
    let durability = u64::try_from(reply::durability(batched.durability)).unwrap_or_default();
    let outcomes =
        batched.outcomes.iter().map(|outcome| field_len(field_len(outcome_len(outcome))));
    let numbers = number_len(id) + number_len(batched.revision) + number_len(durability);
    let mut framed = BytesMut::new();
    let out = &mut framed;
    put_prefix(outcomes.sum::<usize>() + numbers, out);
    put_number(1, id, out);
    for outcome in &batched.outcomes {
        let length = outcome_len(outcome);
        put_head(results, field_len(length), out);
        match outcome {
            Outcome::Get(entry) => {
                put_head(1, length, out);
                if let Some(entry) = entry {
                    put_entry(entry, out);
                }
            }
            Outcome::Put { revision } => {
                put_head(2, length, out);
                put_number(1, *revision, out);
            }
            Outcome::Delete { deleted } => {
                put_head(3, length, out);
                put_number(1, u64::from(*deleted), out);
            }
        }
    }
    put_number(results + 1, batched.revision, out);
    put_number(results + 2, durability, out);
    framed.freeze()
}

/// Returns the length of a GetResult, PutResult or DeleteResult.
fn outcome_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Get(entry) => entry.as_ref().map_or(0, entry_len),
        Outcome::Put { revision } => number_len(*revision),
        Outcome::Delete { deleted } => number_len(u64::from(*deleted)),
    }
}

/// Returns the length of a GetResult.
fn entry_len(entry: &Entry) -> usize {
    let expiry = entry.expire_time.map_or(0, |time| field_len(time::timestamp(time).encoded_len()));
    field_len(entry.value.as_bytes().len()) + number_len(entry.revision) + expiry
}

fn put_entry(entry: &Entry, out: &mut BytesMut) {
    let value = entry.value.as_bytes();
    put_head(if entry.value.is_text() { 1 } else { 2 }, value.len(), out);
    out.extend_from_slice(value);
    put_number(3, entry.revision, out);
    if let Some(time) = entry.expire_time {
        let time = time::timestamp(time);
        put_head(4, time.encoded_len(), out);
        time.encode_raw(out);
    }
}

/// Returns the length of a field of so many bytes, with its tag and its length prefix.
fn field_len(bytes: usize) -> usize {
    1 + varint_len(bytes as u64) + bytes
}

/// Returns the length of a field of a number. A zero is left out.
fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + varint_len(number) }
}

fn varint_len(number: u64) -> usize {
    if number < 0x80 { 1 } else { encoded_len_varint(number) }
}

fn put_head(field: u8, bytes: usize, out: &mut BytesMut) {
    out.put_u8(field << 3 | 2);
    put_varint(bytes as u64, out);
}

fn put_number(field: u8, number: u64, out: &mut BytesMut) {
    if number != 0 {
        out.put_u8(field << 3);
        put_varint(number, out);
    }
}

fn put_varint(number: u64, out: &mut BytesMut) {
    match u8::try_from(number) {
        Ok(byte) if byte < 0x80 => out.put_u8(byte),
        Ok(_) | Err(_) => encode_varint(number, out),
    }
}
