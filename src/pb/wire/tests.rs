//! Both ways, the short one and that of the generated code, give the same.

use bytes::{Bytes, BytesMut};
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::model::{Command, Durability, Entry, Error, Outcome, Reply, UnixMillis, Value};
use crate::pb::v1;
use v1::operation::Operation as Kind;

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zäß]{1,20}", 1 => Just(String::new()), 1 => "a\u{1}b", 1 => Just("k".repeat(1_025))]
}

fn data() -> impl Strategy<Value = Option<v1::put_operation::Data>> {
    use v1::put_operation::Data;
    prop_oneof![
        4 => ".{0,200}".prop_map(|text| Some(Data::Value(text))),
        2 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Some(Data::Blob(bytes.into()))),
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

/// What the generated code makes of a message.
fn generated<M: Message + Default>(message: &Bytes) -> Option<Result<Command, Error>>
where
    Command: TryFrom<M, Error = Error>,
{
    M::decode(message.clone()).ok().map(Command::try_from)
}

/// What a client is told.
fn told(command: Result<Command, Error>) -> Result<Command, String> {
    command.map_err(|error| format!("{error:?}"))
}

fn same(short: Result<Result<Command, Error>, Unusual>, long: Option<Result<Command, Error>>) {
    if let Ok(short) = short {
        assert_eq!(Some(told(short)), long.map(told));
    }
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

/// Writes, and looks whether the length that was told is right.
fn written(write: impl FnOnce(&mut BytesMut, &mut dyn FnMut(usize, &mut BytesMut))) -> Bytes {
    let (mut out, mut length) = (BytesMut::new(), 0);
    write(&mut out, &mut |told, _| length = told);
    assert_eq!(out.len(), length);
    out.freeze()
}

proptest! {
    #[test]
    fn usual_requests_are_read_as_the_generated_code_reads_them(request in request()) {
        let message = Bytes::from(request.encode_to_vec());
        let (id, short) = read_pipeline(&message).expect("nothing in it is unusual");
        prop_assert_eq!(id, request.id);
        prop_assert_eq!(told(short), told(Command::try_from(request.clone())));
        let batch = v1::BatchRequest { operations: request.operations.clone(), request_id: request.request_id.clone() };
        let message = Bytes::from(batch.encode_to_vec());
        prop_assert_eq!(told(read_batch(&message).expect("nor here")), told(Command::try_from(batch)));
        for operation in request.operations {
            match operation.operation {
                Some(Kind::Get(get)) => {
                    let message = Bytes::from(get.encode_to_vec());
                    let get = v1::GetRequest { key: get.key };
                    prop_assert_eq!(told(read_get(&message).expect("nor here")), told(Command::try_from(get)));
                }
                Some(Kind::Put(put)) => {
                    let id = v1::PutRequest { request_id: request.request_id.clone(), ..Default::default() };
                    let message = Bytes::from([put.encode_to_vec(), id.encode_to_vec()].concat());
                    let unusual = put.expiry.is_some();
                    prop_assert_eq!(read_put(&message).is_err(), unusual);
                    same(read_put(&message), generated::<v1::PutRequest>(&message));
                }
                Some(Kind::Delete(_)) | None => {}
            }
        }
    }

    #[test]
    fn whatever_is_read_is_read_as_the_generated_code_reads_it(
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
        let message = Bytes::from(message);
        let pipeline = read_pipeline(&message);
        if let Ok((id, _)) = &pipeline {
            prop_assert_eq!(v1::PipelineRequest::decode(message.clone()).map(|request| request.id).ok(), Some(*id));
        }
        same(pipeline.map(|(_, command)| command), generated::<v1::PipelineRequest>(&message));
        same(read_batch(&message), generated::<v1::BatchRequest>(&message));
        same(read_get(&message), generated::<v1::GetRequest>(&message));
        same(read_put(&message), generated::<v1::PutRequest>(&message));
    }

    #[test]
    fn replies_are_written_as_the_generated_code_writes_them(
        id in prop_oneof![Just(0), any::<u64>()],
        outcomes in proptest::collection::vec(outcome(), 0..6),
        revision in prop_oneof![Just(0), 0_u64..300, any::<u64>()],
        durability in proptest::sample::select(vec![Durability::Local, Durability::Replicated, Durability::Fsynced]),
    ) {
        let reply = Reply::Batch { outcomes: outcomes.clone(), revision, durability };
        let answer = Answer { outcomes: &outcomes, revision, durability };
        let pipeline = v1::PipelineResponse { id, ..v1::PipelineResponse::try_from(reply.clone()).unwrap() };
        prop_assert_eq!(written(|out, head| write_pipeline(id, answer, out, head)), pipeline.encode_to_vec());
        let batch = v1::BatchResponse::try_from(reply).unwrap();
        prop_assert_eq!(written(|out, head| write_batch(answer, out, head)), batch.encode_to_vec());
        for outcome in outcomes {
            if let Outcome::Get(Some(entry)) = outcome {
                let get = v1::GetResponse::try_from(Reply::Entry(entry.clone())).unwrap();
                prop_assert_eq!(written(|out, head| write_get(&entry, out, head)), get.encode_to_vec());
            }
        }
    }
}
