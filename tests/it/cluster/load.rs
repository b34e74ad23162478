//! Writers that repeat each write until it is acknowledged, and the check of the result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvrpc::model::Method;
use kvrpc::pb::v1;
use parking_lot::Mutex;
use tonic::transport::Channel;

use crate::grpc::raw::Raw;
use crate::harness::within;

/// Large, because small values reach the replicas before a fault can matter.
const VALUE_BYTES: usize = 8 << 10;
/// Number of keys per writer.
const KEYS: u64 = 20;
/// Maximum duration of one attempt.
const TRY: Duration = Duration::from_secs(5);

/// Observations of the writers.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) acknowledged: AtomicU64,
    /// Failed attempts, by code and reason.
    pub(super) failures: Mutex<BTreeMap<String, u64>>,
    /// Maximum number of attempts for one write since the last query.
    tries: AtomicU64,
    /// Longest wait for an acknowledgement since the last query.
    longest: Mutex<Duration>,
    stop: AtomicBool,
}

/// The writers.
pub(super) struct Load {
    pub(super) seen: Arc<Seen>,
    /// The first writer's client at each server.
    pub(super) first: Vec<Raw>,
    running: Vec<tokio::task::JoinHandle<Writer>>,
}

struct Writer {
    clients: Vec<Raw>,
    name: String,
    /// Number of acknowledged writes, which is also the number of the next one.
    done: u64,
    /// Observations shared by all writers.
    seen: Arc<Seen>,
}

/// Errors found at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) lost: u64,
    pub(super) duplicates: u64,
}

impl Load {
    /// Starts writers, each as a user of its own, distributed over the servers in turn.
    pub(super) async fn start(writers: usize, fronts: &[Channel]) -> Self {
        let seen = Arc::<Seen>::default();
        let (mut running, mut first) = (Vec::new(), Vec::new());
        for number in 0..writers {
            let name = format!("writer {number}");
            let client = crate::grpc::people::sign_in(&Raw::new(fronts[0].clone()), &name).await;
            let at = |front: &Channel| Raw {
                channel: front.clone(),
                authorization: client.authorization.clone(),
            };
            let mut clients: Vec<Raw> = fronts.iter().map(at).collect();
            if number == 0 {
                first.clone_from(&clients);
            }
            clients.rotate_left(number % fronts.len());
            let writer = Writer { clients, name, done: 0, seen: Arc::clone(&seen) };
            running.push(tokio::spawn(writer.run()));
        }
        Self { seen, first, running }
    }

    /// Waits until each writer has had about `each` more writes acknowledged.
    pub(super) async fn go_on(&self, each: u64) {
        let wanted =
            self.seen.acknowledged.load(Ordering::Relaxed) + each * self.running.len() as u64;
        let mut turns = tokio::time::interval(Duration::from_millis(10));
        let reached = async {
            while self.seen.acknowledged.load(Ordering::Relaxed) < wanted {
                turns.tick().await;
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(90), reached).await;
        assert!(all.is_ok(), "the writers do not go on: {:?}", self.seen.failures.lock());
    }

    /// Returns the failures and the longest wait since the last call.
    pub(super) fn take(&self) -> (BTreeMap<String, u64>, Duration) {
        (
            std::mem::take(&mut *self.seen.failures.lock()),
            std::mem::take(&mut *self.seen.longest.lock()),
        )
    }

    /// Returns the maximum number of attempts for one write since the last call.
    pub(super) fn take_tries(&self) -> u64 {
        self.seen.tries.swap(0, Ordering::Relaxed)
    }

    /// Stops the writers, and compares the acknowledged writes with the stored entries.
    pub(super) async fn end(self) -> Verdict {
        self.seen.stop.store(true, Ordering::Relaxed);
        let mut verdict = Verdict::default();
        for writer in self.running {
            let writer = within("a writer ends", writer).await.unwrap();
            let found = writer.check().await;
            verdict.lost += found.lost;
            verdict.duplicates += found.duplicates;
        }
        verdict
    }
}

impl Writer {
    async fn run(mut self) -> Self {
        while !self.seen.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            self.write_until_acknowledged().await;
            self.done += 1;
            self.seen.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut longest = self.seen.longest.lock();
            *longest = begun.elapsed().max(*longest);
        }
        self
    }

    async fn write_until_acknowledged(&mut self) {
        let value = format!("{:<VALUE_BYTES$}", self.done);
        let request = v1::PutRequest {
            key: format!("key {}", self.done % KEYS),
            data: Some(v1::put_request::Data::Value(value)),
            request_id: format!("{}/{}", self.name, self.done),
            ..Default::default()
        };
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        pause.tick().await;
        for tries in 1.. {
            self.seen.tries.fetch_max(tries, Ordering::Relaxed);
            let [client, ..] = &self.clients[..] else { panic!("no front end") };
            let call = client.call::<_, v1::PutResponse>(Method::Put.path(), &request);
            let failure = match tokio::time::timeout(TRY, call).await {
                Ok(Ok(written)) => {
                    assert_eq!(written.durability, v1::Durability::Replicated as i32);
                    return;
                }
                Ok(Err(failure)) if failure.was_not_sent() => "not sent".to_owned(),
                Ok(Err(failure)) => match failure.reason {
                    Some(reason) => format!("{:?} {}", failure.code, reason.as_str()),
                    // The client library's own; its message says what happened.
                    None => format!("{:?}: {}", failure.code, failure.message),
                },
                Err(_) => "no answer".to_owned(),
            };
            *self.seen.failures.lock().entry(failure).or_default() += 1;
            // Another server may be able to answer.
            self.clients.rotate_left(1);
            pause.tick().await;
        }
    }

    /// Checks that every acknowledged write counts once in the revision, and that the latest of
    /// each key is stored.
    async fn check(&self) -> Verdict {
        let request = v1::ScanRequest::default();
        let [client, ..] = &self.clients[..] else { panic!("no front end") };
        let mut verdict = Verdict::default();
        let mut entries = BTreeMap::new();
        let mut revision = 0;
        let scanned = client
            .bytes(Method::Scan.path(), prost::Message::encode_to_vec(&request))
            .await
            .unwrap();
        for message in scanned {
            let response: v1::ScanResponse = prost::Message::decode(message).unwrap();
            revision = revision.max(response.position.unwrap().sequence);
            entries.extend(response.entries.into_iter().map(|entry| match entry.data {
                Some(v1::entry::Data::Value(value)) => {
                    (entry.key, value.trim_end().parse::<u64>().unwrap())
                }
                other => panic!("{other:?}"),
            }));
        }
        for latest in self.done.saturating_sub(KEYS)..self.done {
            verdict.lost +=
                u64::from(entries.get(&format!("key {}", latest % KEYS)) != Some(&latest));
        }
        verdict.lost += self.done.saturating_sub(revision);
        verdict.duplicates = revision.saturating_sub(self.done);
        verdict
    }
}
