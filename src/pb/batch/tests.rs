//! The decoder and the encoder written by hand give the same as the generated ones.

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::model::request::{Batch, Delete, Get, Put};
use crate::model::{
    Batched, Durability, Entry, Error, Operation, Outcome, Reason, RequestId, UnixMillis, Value,
};
use crate::pb::codec::{Framed, Incoming as _, Outgoing as _};
use crate::pb::v1;
use v1::operation::Operation as Kind;

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zäß]{1,20}",
        1 => Just(String::new()),
        1 => "a\u{1}b",
        1 => Just("k".repeat(1_025)),
    ]
}

fn data() -> impl Strategy<Value = Option<v1::put_operation::Data>> {
    use v1::put_operation::Data;
    prop_oneof![
        4 => ".{0,200}".prop_map(|text| Some(Data::Value(text))),
        2 => proptest::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| Some(Data::Blob(bytes.into()))),
        1 => Just(None),
        1 => Just(Some(Data::Value("v".repeat((1 << 20) + 1)))),
    ]
}

fn put() -> impl Strategy<Value = v1::PutOperation> {
    let ttl = (1_i64..100).prop_map(|seconds| {
        v1::put_operation::Expiry::Ttl(prost_types::Duration { seconds, nanos: 0 })
    });
    (key(), data(), option::weighted(0.1, ttl), option::of(any::<u64>())).prop_map(
        |(key, data, expiry, if_revision)| v1::PutOperation { key, data, expiry, if_revision },
    )
}

fn operation() -> impl Strategy<Value = v1::Operation> {
    let operation = prop_oneof![
        key().prop_map(|key| Some(Kind::Get(v1::GetOperation { key }))),
        put().prop_map(|put| Some(Kind::Put(put))),
        (key(), option::of(any::<u64>())).prop_map(|(key, if_revision)| Some(Kind::Delete(
            v1::DeleteOperation { key, if_revision }
        ))),
        Just(None),
    ];
    operation.prop_map(|operation| v1::Operation { operation })
}

fn request() -> impl Strategy<Value = v1::PipelineRequest> {
    let id = prop_oneof![3 => "[a-z]{0,8}", 1 => Just("i".repeat(65))];
    (any::<u64>(), proptest::collection::vec(operation(), 0..6), id)
        .prop_map(|(id, operations, request_id)| v1::PipelineRequest { id, operations, request_id })
}

/// The batch that the generated code and the model make of a message, or `None` if the generated
/// code cannot read it.
fn generated(message: &Bytes) -> Option<(u64, Result<Batch, Error>)> {
    let request = <v1::PipelineRequest as Message>::decode(message.clone()).ok()?;
    Some((request.id, batch(request.operations, request.request_id)))
}

fn batch(operations: Vec<v1::Operation>, request_id: String) -> Result<Batch, Error> {
    let request_id = RequestId::new(request_id)?;
    let checked = operations.into_iter().enumerate();
    let checked = checked.map(|(at, operation)| {
        checked_operation(operation).map_err(|error| error.in_operation(at))
    });
    Ok(Batch {
        operations: checked.collect::<Result<Vec<_>, _>>()?.into_iter().collect(),
        request_id,
    })
}

/// Checks an operation by way of the single call of the same name.
fn checked_operation(operation: v1::Operation) -> Result<Operation, Error> {
    use v1::put_operation::{Data, Expiry};
    Ok(match operation.operation {
        Some(Kind::Get(get)) => {
            Operation::Get { key: Get::try_from(v1::GetRequest { key: get.key })?.key }
        }
        Some(Kind::Put(put)) => {
            let data = put.data.map(|data| match data {
                Data::Value(text) => v1::put_request::Data::Value(text),
                Data::Blob(bytes) => v1::put_request::Data::Blob(bytes),
            });
            let expiry = put.expiry.map(|expiry| match expiry {
                Expiry::Ttl(ttl) => v1::put_request::Expiry::Ttl(ttl),
                Expiry::ExpireTime(time) => v1::put_request::Expiry::ExpireTime(time),
            });
            let (key, if_revision, request_id) = (put.key, put.if_revision, String::new());
            let request = v1::PutRequest { key, data, expiry, if_revision, request_id };
            Operation::Put(Put::try_from(request)?)
        }
        Some(Kind::Delete(delete)) => {
            let v1::DeleteOperation { key, if_revision } = delete;
            let request = v1::DeleteRequest { key, if_revision, request_id: String::new() };
            Operation::Delete(Delete::try_from(request)?)
        }
        None => {
            let sentence = "no operation; set `get`, `put` or `delete`";
            return Err(Error::new(Reason::InvalidBatch, sentence));
        }
    })
}

/// A batch or its error, in a form that can be compared.
fn told(batch: Result<Batch, Error>) -> Result<Batch, String> {
    batch.map_err(|error| format!("{error:?}"))
}

fn ours(message: &Bytes) -> Option<(u64, Result<Batch, Error>)> {
    PipelineCall::decode(message.clone()).ok().map(|call| (call.id, call.batch))
}

fn same(message: &Bytes) {
    let told = |read: Option<(u64, _)>| read.map(|(id, batch)| (id, told(batch)));
    assert_eq!(told(ours(message)), told(generated(message)));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let value = prop_oneof![
        ".{0,200}".prop_map(|text| Value::text(text).unwrap()),
        proptest::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| Value::blob(bytes).unwrap()),
    ];
    let expiry = option::of((0_u64..4_000_000_000_000).prop_map(UnixMillis::new));
    let entry = (value, any::<u64>(), expiry).prop_map(|(value, revision, expire_time)| Entry {
        value,
        revision,
        expire_time,
    });
    prop_oneof![
        option::of(entry).prop_map(Outcome::Get),
        any::<u64>().prop_map(|revision| Outcome::Put { revision }),
        any::<bool>().prop_map(|deleted| Outcome::Delete { deleted }),
    ]
}

/// The response's generated form.
fn result(outcome: Outcome) -> v1::OperationResult {
    use v1::operation_result::Result as Kind;

    let kind = match outcome {
        Outcome::Get(None) => Kind::Get(v1::GetResult::default()),
        Outcome::Get(Some(entry)) => {
            let v1::GetResponse { data, revision, expire_time } = entry.into();
            let data = data.map(|data| match data {
                v1::get_response::Data::Value(text) => v1::get_result::Data::Value(text),
                v1::get_response::Data::Blob(bytes) => v1::get_result::Data::Blob(bytes),
            });
            Kind::Get(v1::GetResult { data, revision, expire_time })
        }
        Outcome::Put { revision } => Kind::Put(v1::PutResult { revision }),
        Outcome::Delete { deleted } => Kind::Delete(v1::DeleteResult { deleted }),
    };
    v1::OperationResult { result: Some(kind) }
}

/// Fields as they may follow each other in an operation: repeated, of several kinds, of a newer
/// contract, of another encoding.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let length_delimited =
        (1_u8..9, proptest::collection::vec(any::<u8>(), 0..6)).prop_map(|(field, content)| {
            [&[field << 3 | 2, content.len() as u8], &content[..]].concat()
        });
    let number = (1_u8..9, any::<u8>()).prop_map(|(field, value)| vec![field << 3, value & 0x7f]);
    let ttl = (1_u8..100).prop_map(|seconds| vec![4 << 3 | 2, 2, 1 << 3, seconds]);
    let nanos = (1_u8..100).prop_map(|nanos| vec![4 << 3 | 2, 2, 2 << 3, nanos]);
    let time = (1_u8..100).prop_map(|seconds| vec![5 << 3 | 2, 2, 1 << 3, seconds]);
    let group = (9_u8..12).prop_map(|field| vec![field << 3 | 3, field << 3 | 4]);
    let key = Just(vec![1 << 3 | 2, 1, b'k']);
    let value = Just(vec![2 << 3 | 2, 1, b'v']);
    let field = prop_oneof![length_delimited, number, ttl, nanos, time, group, key, value];
    proptest::collection::vec(field, 0..6).prop_map(|fields| fields.concat())
}

/// A message with one field of another message in it.
fn within(field: u8, message: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    prost::encoding::encode_varint(message.len() as u64, &mut all);
    all.extend_from_slice(message);
    all
}

proptest! {
    #[test]
    fn requests_are_read_as_the_generated_code_reads_them(request in request()) {
        let message = Bytes::from(request.encode_to_vec());
        same(&message);
        let v1::PipelineRequest { operations, request_id, .. } = request;
        let (all, id) = (operations.clone(), request_id.clone());
        let whole = v1::BatchRequest { operations: all, request_id: id };
        let BatchCall(read) = BatchCall::decode(whole.encode_to_vec().into()).unwrap();
        prop_assert_eq!(told(read), told(batch(operations, request_id)));
    }

    #[test]
    fn changed_and_cut_messages_are_read_as_the_generated_code_reads_them(
        request in request(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        end in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut message = request.encode_to_vec();
        for (at, byte) in changes {
            if !message.is_empty() {
                let at = at.index(message.len());
                message[at] = byte;
            }
        }
        if cut {
            message.truncate(end.index(message.len() + 1));
        }
        same(&Bytes::from(message));
    }

    #[test]
    fn fields_in_any_order_are_read_as_the_generated_code_reads_them(
        kinds in proptest::collection::vec((1_u8..5, fields()), 0..4),
        around in fields(),
    ) {
        let operation: Vec<u8> =
            kinds.iter().flat_map(|(kind, fields)| within(*kind, fields)).collect();
        let message = [within(2, &operation), around, within(2, &operation)].concat();
        same(&Bytes::from(message));
    }

    #[test]
    fn replies_are_written_as_the_generated_code_writes_them(
        id in prop_oneof![Just(0), any::<u64>()],
        outcomes in proptest::collection::vec(outcome(), 0..6),
        revision in prop_oneof![Just(0), 0_u64..300, any::<u64>()],
        durability in proptest::sample::select(vec![
            Durability::Local, Durability::Replicated, Durability::Fsynced,
        ]),
    ) {
        let batched = Batched { outcomes: outcomes.clone(), revision, durability };
        let results: Vec<_> = outcomes.into_iter().map(result).collect();
        let durability = crate::pb::reply::durability(durability);
        let batch = v1::BatchResponse { results: results.clone(), revision, durability };
        let pipeline = v1::PipelineResponse { id, results, revision, durability, rejected: None };
        prop_assert_eq!(pipeline_answer(id, &batched), Framed::new(&pipeline));
        prop_assert_eq!(BatchAnswer::from(batched).framed(), batch.framed());
    }
}
