//! Rolling restarts of servers and of nodes under load: clients that follow the documents see no
//! failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvrpc::model::Method;
use kvrpc::pb::v1;
use kvrpc::pb::v1::watch_response::Event;
use parking_lot::Mutex;
use rustix::process::Signal;
use tonic::Code;

use super::load::Verdict;
use super::{Town, serves};
use crate::grpc::raw::Raw;
use crate::harness::{ServerProcess, eventually, within};
use crate::watch::Watch;

/// Maximum number of attempts that the `retryPolicy` of a gRPC service config may allow.
const TRIES: u64 = 5;

/// Watches a store over all restarts: when a stream ends, it goes on at another server from its
/// last position.
struct Follower {
    seen: Arc<Mutex<Vec<u64>>>,
    streams: Arc<Mutex<u64>>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    async fn start(mut fronts: Vec<Raw>) -> Self {
        let listed: v1::ListKeysResponse =
            fronts[0].call(Method::ListKeys.path(), &v1::ListKeysRequest::default()).await.unwrap();
        let mut after = listed.position;
        let (seen, streams, stop) =
            (Arc::<Mutex<Vec<u64>>>::default(), Arc::<Mutex<u64>>::default(), Arc::default());
        let follower = (Arc::clone(&seen), Arc::clone(&streams), Arc::<AtomicBool>::clone(&stop));
        let task = tokio::spawn(async move {
            let (seen, streams, stop) = follower;
            let mut pause = tokio::time::interval(Duration::from_millis(20));
            while !stop.load(Ordering::Relaxed) {
                let request = v1::WatchRequest { after, ..Default::default() };
                let ended = match Watch::open(&fronts[0], request).await {
                    Ok(mut watch) => {
                        *streams.lock() += 1;
                        loop {
                            match watch.try_next().await {
                                Ok(Event::Put(_)) => {
                                    after = watch.position;
                                    seen.lock().push(after.unwrap().sequence);
                                }
                                Ok(Event::Heartbeat(_) | Event::Closing(_)) => {}
                                Ok(other) => panic!("{other:?}"),
                                Err(ended) => break ended,
                            }
                        }
                    }
                    Err(refused) => refused,
                };
                assert!(
                    stop.load(Ordering::Relaxed)
                        || ended.code == Code::Unavailable
                        || ended.was_not_sent(),
                    "{ended:?}"
                );
                fronts.rotate_left(1);
                pause.tick().await;
            }
        });
        Self { seen, streams, stop, task }
    }

    /// Waits until this revision was seen. Returns the number of changes, each seen once and in
    /// order, and the number of streams.
    async fn end(self, revision: u64) -> (usize, u64) {
        eventually("the last change is seen", || async {
            self.seen.lock().last() == Some(&revision)
        })
        .await;
        self.stop.store(true, Ordering::Relaxed);
        assert!(!self.task.is_finished(), "it failed");
        self.task.abort();
        let seen = self.seen.lock();
        assert!(seen.windows(2).all(|two| two[1] == two[0] + 1), "{seen:?}");
        (seen.len(), *self.streams.lock())
    }
}

async fn revision(raw: &Raw) -> u64 {
    let listed: v1::ListKeysResponse =
        raw.call(Method::ListKeys.path(), &v1::ListKeysRequest::default()).await.unwrap();
    listed.position.unwrap().sequence
}

impl Town {
    /// Checks that all failed attempts since the last call were retryable, and that few attempts
    /// were enough.
    async fn tried(&self, what: &str, again: &[&str]) {
        self.load.go_on(20).await;
        let (failures, longest) = self.load.take();
        let tries = self.load.take_tries();
        eprintln!("| {what} | {:.2} s | {failures:?} | {tries} |", longest.as_secs_f64());
        assert!(
            failures.keys().all(|failure| again.iter().any(|code| failure.starts_with(code))),
            "{failures:?}"
        );
        assert!(tries <= TRIES, "{tries} tries");
    }

    /// Checks that no write was lost or done twice and that the watch saw all of them. Returns the
    /// number of streams that this took.
    async fn end(self, follower: Follower) -> u64 {
        let (seen, first) = (Arc::clone(&self.load.seen), self.load.first.clone());
        let verdict = self.load.end().await;
        let (changes, streams) = follower.end(revision(&first[0]).await).await;
        let acknowledged = seen.acknowledged.load(Ordering::Relaxed);
        eprintln!(
            "{acknowledged} acknowledged writes: {verdict:?}; a watch saw {changes} changes on \
             {streams} streams"
        );
        assert_eq!(verdict, Verdict::default());
        streams
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_rolling_restart_of_front_ends_fails_no_call_and_loses_no_event() {
    let mut town = Town::start().await;
    let first = town.load.first.clone();
    let follower = Follower::start(first.clone()).await;
    let url = town.cluster.url();
    eprintln!(
        "| restart | longest wait for an acknowledgement | failures of single tries \
         | most tries |\n|---|---|---|---|"
    );
    for round in 0..4 {
        let at = round % 2;
        let address = town.fronts[at].address("grpc").to_string();
        let old = town.fronts.remove(at);
        old.signal(Signal::TERM);
        let ended = tokio::task::spawn_blocking(|| old.wait()).await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let flags = ["--listen", &address, "--admin-listen", "127.0.0.1:0", "--store", &url];
        town.fronts.insert(at, tokio::task::block_in_place(|| ServerProcess::start(&flags)));
        let front = super::channel(&town.fronts[at]);
        eventually("it serves again", || serves(front.clone())).await;
        town.tried(&format!("front end {at}"), &["Unavailable", "not sent"]).await;
    }
    let streams = town.end(follower).await;
    assert!(streams > 2, "the streams were not told to go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_rolling_restart_of_nodes_fails_no_call_and_loses_no_event() {
    let mut town = Town::with(&["--appendonly", "yes"]).await;
    let first = town.load.first.clone();
    let follower = Follower::start(first.clone()).await;
    eprintln!(
        "| restart | longest wait for an acknowledgement | failures of single tries \
         | most tries |\n|---|---|---|---|"
    );
    let ports: Vec<u16> = town.cluster.role("master").iter().map(|master| master.port).collect();
    for port in ports {
        let at = town.cluster.nodes.iter().position(|node| node.port == port).unwrap();
        let id = town.cluster.nodes[at].cli(&["CLUSTER", "MYID"]).trim().to_owned();
        let replica = town
            .cluster
            .role("slave")
            .into_iter()
            .find(|node| {
                node.cli(&["CLUSTER", "NODES"])
                    .lines()
                    .any(|line| line.contains("myself") && line.contains(&id))
            })
            .unwrap();
        assert_eq!(replica.cli(&["CLUSTER", "FAILOVER"]).trim(), "OK");
        within("it takes over", async {
            eventually("it takes over", || async { replica.cli(&["ROLE"]).starts_with("master") })
                .await;
        })
        .await;
        town.tried(
            "a replica takes over (CLUSTER FAILOVER)",
            &["Unavailable", "Unknown OUTCOME_UNKNOWN"],
        )
        .await;
        tokio::task::block_in_place(|| town.cluster.nodes[at].restart());
        town.until_all_is_well().await;
        town.tried("the old master is restarted", &["Unavailable", "Unknown OUTCOME_UNKNOWN"])
            .await;
    }
    town.end(follower).await;
}
