//! Replies to responses: values go from where the store gave them straight into what is sent.

use bytes::{BufMut as _, BytesMut};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::model::{Durability, Entry, Outcome};
use crate::pb::{reply, time};

/// What a batch answers.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) revision: u64,
    pub(crate) durability: Durability,
}

/// Adds a GetResponse. What the caller puts before it is told its length.
pub(crate) fn write_get(
    entry: &Entry,
    out: &mut BytesMut,
    head: impl FnOnce(usize, &mut BytesMut),
) {
    head(entry_len(entry), out);
    put_entry(entry, out);
}

/// Adds a BatchResponse.
pub(crate) fn write_batch(
    answer: Answer<'_>,
    out: &mut BytesMut,
    head: impl FnOnce(usize, &mut BytesMut),
) {
    write(answer, 1, 0, out, head);
}

/// Adds a PipelineResponse.
pub(crate) fn write_pipeline(
    id: u64,
    answer: Answer<'_>,
    out: &mut BytesMut,
    head: impl FnOnce(usize, &mut BytesMut),
) {
    write(answer, 2, id, out, head);
}

/// `results` is the number of the results' field. Behind it come the revision's and the
/// durability's, before it that of an id.
fn write(
    answer: Answer<'_>,
    results: u8,
    id: u64,
    out: &mut BytesMut,
    head: impl FnOnce(usize, &mut BytesMut),
) {
    let durability = u64::try_from(reply::durability(answer.durability)).unwrap_or_default();
    let outcomes = answer.outcomes.iter().map(|outcome| field_len(field_len(outcome_len(outcome))));
    let numbers = number_len(id) + number_len(answer.revision) + number_len(durability);
    head(outcomes.sum::<usize>() + numbers, out);
    put_number(1, id, out);
    for outcome in answer.outcomes {
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
    put_number(results + 1, answer.revision, out);
    put_number(results + 2, durability, out);
}

/// Of the GetResult, PutResult or DeleteResult.
fn outcome_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Get(entry) => entry.as_ref().map_or(0, entry_len),
        Outcome::Put { revision } => number_len(*revision),
        Outcome::Delete { deleted } => number_len(u64::from(*deleted)),
    }
}

/// Of a GetResult or GetResponse.
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

/// Of a field of so many bytes, with its tag and their length.
fn field_len(bytes: usize) -> usize {
    1 + varint_len(bytes as u64) + bytes
}

/// Of a field of a number. 0 is left out.
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
