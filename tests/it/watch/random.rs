//! Random writers, and watchers that come and go: the state that they rebuild is the store's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvrpc::model::Method;
use kvrpc::pb::v1;
use kvrpc::pb::v1::watch_response::Event;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Watch, delete, put};
use crate::grpc::people::{People, Who};
use crate::grpc::raw::Raw;

const WRITERS: u64 = 3;
const WRITES: usize = 150;
const WATCHERS: u64 = 3;

/// Returns the store by a scan, and the scan's position.
async fn scanned(raw: &Raw) -> (BTreeMap<String, String>, v1::Position) {
    let mut state = BTreeMap::new();
    let mut position = v1::Position::default();
    for message in raw.bytes(Method::Scan.path(), Vec::new()).await.unwrap() {
        let response: v1::ScanResponse = prost::Message::decode(message).unwrap();
        position = response.position.unwrap();
        state.extend(response.entries.into_iter().map(|entry| match entry.data {
            Some(v1::entry::Data::Value(value)) => (entry.key, value),
            other => panic!("{other:?}"),
        }));
    }
    (state, position)
}

async fn write(raw: Raw, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..WRITES {
        let key = format!("key {}", random.random_range(0..20));
        match random.random_range(0..10) {
            0..=5 => put(&raw, &key, &format!("{seed} {number}"), None).await,
            6 => put(&raw, &key, "short", Some(random.random_range(1..20))).await,
            7..=8 => delete(&raw, &key).await,
            _ => batch(&raw, &mut random, number).await,
        }
    }
}

async fn batch(raw: &Raw, random: &mut StdRng, number: usize) {
    let operations = (0..random.random_range(1..5)).map(|index| {
        let key = format!("key {}", random.random_range(0..20));
        let data = Some(v1::put_operation::Data::Value(format!("batch {number} {index}")));
        // A batch that fails undoes its earlier changes.
        let if_revision = random.random_bool(0.2).then_some(1_000_000);
        let put = v1::PutOperation { key, data, if_revision, ..Default::default() };
        v1::Operation { operation: Some(v1::operation::Operation::Put(put)) }
    });
    let request = v1::BatchRequest { operations: operations.collect(), ..Default::default() };
    let _ = raw.call::<_, v1::BatchResponse>(Method::Batch.path(), &request).await;
}

/// Follows the store until `done` is set and it has caught up, disconnecting and resuming at
/// random; returns the rebuilt state.
async fn follow(raw: Raw, seed: u64, done: Arc<AtomicBool>) -> BTreeMap<String, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut state, mut position) = scanned(&raw).await;
    loop {
        let request = v1::WatchRequest { after: Some(position), ..Default::default() };
        let mut watch = Watch::open(&raw, request).await.unwrap();
        for _ in 0..random.random_range(1..40) {
            let event = watch.try_next().await.unwrap();
            let at = watch.position.unwrap();
            match event {
                Event::Put(put) => {
                    assert_eq!(at.sequence, position.sequence + 1, "seed {seed}");
                    let Some(v1::watch_put::Data::Value(value)) = put.data else {
                        panic!("{put:?}")
                    };
                    state.insert(put.key, value);
                }
                Event::Delete(delete) => {
                    assert_eq!(at.sequence, position.sequence + 1, "seed {seed}");
                    state.remove(&delete.key);
                }
                Event::Heartbeat(_) => assert_eq!(at, position, "seed {seed}"),
                other @ (Event::Gap(_) | Event::Closing(_)) => panic!("seed {seed}: {other:?}"),
            }
            position = at;
            if done.load(Ordering::Acquire) && scanned(&raw).await.1 == position {
                return state;
            }
        }
    }
}

#[tokio::test]
async fn watchers_that_come_and_go_miss_and_double_nothing() {
    let people = People::with("[limits]\nheartbeat = \"20ms\"\n").await;
    let guest = people.client(Who::Guest);
    let done = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|seed| tokio::spawn(follow(guest.clone(), 100 + seed, Arc::clone(&done))))
        .collect();
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| tokio::spawn(write(guest.clone(), seed))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    // A key about to expire could vanish between a watcher's end and the comparison.
    crate::harness::eventually("the short-lived keys expire", || async {
        !scanned(guest).await.0.values().any(|value| value == "short")
    })
    .await;
    done.store(true, Ordering::Release);
    for watcher in watchers {
        let rebuilt =
            crate::harness::within("the watchers come to the end", watcher).await.unwrap();
        assert_eq!(rebuilt, scanned(guest).await.0);
    }
}
