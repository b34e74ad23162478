//! Time to read requests and write answers: protobuf, the command grammar, the dialects
//! `text` and `pickle`.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;

use kvrpc::dialect::codec::{Decoded, Input, StreamCodec};
use kvrpc::dialect::grammar::{Mode, parse, split_blanks};
use kvrpc::dialect::{ALL, Transport};
use kvrpc::model::{Entry, Reply, Value};
use kvrpc::pb::v1::operation::Operation as Kind;
use kvrpc::pb::v1::{
    BatchRequest, GetOperation, GetResponse, Operation, PutRequest, get_response, put_request,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY: &str = "key:000000000001";

fn value() -> String {
    "v".repeat(100)
}

fn protobuf(criterion: &mut Criterion) {
    let put = PutRequest {
        key: KEY.to_owned(),
        data: Some(put_request::Data::Value(value())),
        ..Default::default()
    };
    let bytes = put.encode_to_vec();
    let get = || Operation { operation: Some(Kind::Get(GetOperation { key: KEY.to_owned() })) };
    let batch =
        BatchRequest { operations: (0..128).map(|_| get()).collect(), request_id: String::new() }
            .encode_to_vec();
    let answer = GetResponse {
        data: Some(get_response::Data::Value(value())),
        revision: 7,
        expire_time: None,
    };

    let mut group = criterion.benchmark_group("protobuf");
    group.bench_function("decode a put", |bencher| {
        bencher.iter(|| PutRequest::decode(black_box(bytes.as_slice())).unwrap());
    });
    group.bench_function("encode a get's answer", |bencher| {
        let mut out = Vec::with_capacity(256);
        bencher.iter(|| {
            out.clear();
            black_box(&answer).encode(&mut out).unwrap();
        });
    });
    group.throughput(Throughput::Elements(128));
    group.bench_function("decode a batch of 128 gets", |bencher| {
        bencher.iter(|| BatchRequest::decode(black_box(batch.as_slice())).unwrap());
    });
    group.finish();
}

fn grammar(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grammar");
    for (name, line) in [("get", format!("get {KEY}")), ("put", format!("put {KEY} {}", value()))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let words: Vec<&str> = split_blanks(black_box(&line)).collect();
                parse(&words, Mode::TextProtocol).unwrap()
            });
        });
    }
    group.finish();
}

/// The codec of a dialect on TCP.
fn codec(name: &str) -> Box<dyn StreamCodec> {
    match ALL.iter().find(|dialect| dialect.name == name).map(|dialect| dialect.transport) {
        Some(Transport::Tcp(new)) => new(),
        _ => unreachable!("{name} is on TCP"),
    }
}

/// Takes one request, answers each of its actions with the value, and gives the reply's length.
fn request(codec: &mut dyn StreamCodec, input: &mut BytesMut, out: &mut BytesMut) -> usize {
    assert_eq!(codec.decode(input, Input::Bytes), Decoded::Request);
    out.clear();
    while let Some(action) = codec.next(out) {
        black_box(action);
        let entry = Entry { value: Value::text(value()).unwrap(), revision: 1, expire_time: None };
        codec.answer(Ok(Some(Reply::Get(entry))), out);
    }
    codec.finish(out);
    out.len()
}

fn pickled(requests: usize) -> Vec<u8> {
    let mut bytes = b"\x80\x02](".to_vec();
    for _ in 0..requests {
        bytes.extend_from_slice(b"}(");
        for text in ["method", "get", "key", KEY] {
            bytes.push(b'X');
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(b'u');
    }
    bytes.extend_from_slice(b"e.");
    bytes
}

/// A pickle connection that has said its name.
fn named() -> Box<dyn StreamCodec> {
    let mut pickle = codec("pickle");
    let (mut name, mut out) = (BytesMut::from(&b"bench"[..]), BytesMut::new());
    assert_eq!(pickle.decode(&mut name, Input::Quiet), Decoded::Request);
    while pickle.next(&mut out).is_some() {
        pickle.answer(Ok(None), &mut out);
    }
    pickle.finish(&mut out);
    pickle
}

fn dialects(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dialects");
    let mut out = BytesMut::with_capacity(4 << 10);
    for (name, mut codec, bytes) in [
        ("text: a get", codec("text"), format!("get {KEY}\n").into_bytes()),
        ("pickle: a get", named(), pickled(1)),
        ("pickle: 16 gets", named(), pickled(16)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || BytesMut::from(bytes.as_slice()),
                |input| request(codec.as_mut(), input, &mut out),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, protobuf, grammar, dialects);
criterion_main!(benches);
