//! Faults in a cluster under load: acknowledged writes are not lost, no write is done twice, and
//! service resumes without intervention.
//!
//! `cargo test --test it cluster -- --ignored --nocapture` prints a row for each fault.

mod backup;
mod load;
mod rolling;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use self::load::{Load, Verdict};
use crate::harness::{RedisCluster, ServerProcess, eventually};

const WRITERS: usize = 12;

struct Town {
    cluster: RedisCluster,
    fronts: Vec<ServerProcess>,
    load: Load,
}

impl Town {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts the cluster with further settings for its nodes.
    async fn with(settings: &[&str]) -> Self {
        let cluster = RedisCluster::with(1, settings);
        let url = cluster.url();
        let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", &url];
        let fronts: Vec<_> = (0..2).map(|_| ServerProcess::start(&flags)).collect();
        let channels: Vec<_> = fronts.iter().map(channel).collect();
        let load = Load::start(WRITERS, &channels).await;
        load.go_on(20).await;
        load.take();
        Self { cluster, fronts, load }
    }

    /// Continues for a while after a fault, and prints the outcome.
    async fn after(&self, fault: &str) {
        self.load.go_on(20).await;
        let (failures, longest) = self.load.take();
        eprintln!("| {fault} | {:.1} s | {failures:?} |", longest.as_secs_f64());
    }

    async fn until_all_is_well(&self) {
        let nodes = self.cluster.nodes.len();
        eventually("three masters with a replica each", || async move {
            self.cluster.role("master").len() == 3
                && self.cluster.role("slave").len() == nodes - 3
                && self
                    .cluster
                    .role("master")
                    .iter()
                    .all(|node| node.cli(&["INFO", "replication"]).contains("state=online"))
        })
        .await;
    }
}

/// Returns true if the server's health service reports that it serves.
async fn serves(front: Channel) -> bool {
    let asked = HealthClient::new(front).check(HealthCheckRequest { service: String::new() }).await;
    asked.unwrap().into_inner().status() == ServingStatus::Serving
}

pub(crate) fn channel(front: &ServerProcess) -> Channel {
    Endpoint::from_shared(format!("http://{}", front.address("grpc"))).unwrap().connect_lazy()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn faults_lose_and_double_nothing() {
    let mut town = Town::start().await;
    eprintln!(
        "| fault | longest wait for an acknowledgement | failures of single tries |\n|---|---|---|"
    );

    let at = town
        .cluster
        .nodes
        .iter()
        .position(|node| node.cli(&["ROLE"]).starts_with("master"))
        .unwrap();
    town.cluster.nodes[at].signal(Signal::KILL);
    eventually("a replica takes its place", || async { town.cluster.role("master").len() == 3 })
        .await;
    town.cluster.nodes[at].revive();
    town.until_all_is_well().await;
    town.after("a master is killed, and comes back empty as a replica").await;

    let at = town
        .cluster
        .nodes
        .iter()
        .position(|node| node.cli(&["ROLE"]).starts_with("slave"))
        .unwrap();
    town.cluster.nodes[at].signal(Signal::KILL);
    eventually("too few replicas have a write", || async {
        town.load.seen.failures.lock().contains_key("Unknown OUTCOME_UNKNOWN")
    })
    .await;
    town.cluster.nodes[at].revive();
    town.until_all_is_well().await;
    town.after("a replica is killed, and comes back").await;

    let masters = town.cluster.role("master");
    masters[0].signal(Signal::STOP);
    eventually("a replica takes its place", || async {
        town.cluster
            .nodes
            .iter()
            .filter(|node| {
                node.port != masters[0].port && node.cli(&["ROLE"]).starts_with("master")
            })
            .count()
            == 3
    })
    .await;
    masters[0].signal(Signal::CONT);
    town.until_all_is_well().await;
    town.after("a master is stopped (SIGSTOP) until another has its place").await;

    let masters = town.cluster.role("master");
    let id = |at: usize| masters[at].cli(&["CLUSTER", "MYID"]).trim().to_owned();
    let moved = std::process::Command::new("redis-cli")
        .args([
            "--cluster",
            "reshard",
            &format!("127.0.0.1:{}", masters[0].port),
            "--cluster-from",
            &id(0),
        ])
        .args(["--cluster-to", &id(1), "--cluster-slots", "2000", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    town.after("2,000 slots move from one master to another").await;

    for master in town.cluster.role("master") {
        master.cli(&["CLIENT", "PAUSE", "1000", "ALL"]);
    }
    town.after("every master is slow: it answers after a second").await;

    for master in town.cluster.role("master") {
        master.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    }
    eventually("the writers are refused", || async {
        town.load.seen.failures.lock().contains_key("ResourceExhausted SERVER_FULL")
    })
    .await;
    for master in town.cluster.role("master") {
        master.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    town.after("the memory is full, until it is not").await;

    let front = channel(&town.fronts[1]);
    assert!(serves(front.clone()).await);
    town.cluster.nodes.iter().for_each(|node| node.signal(Signal::STOP));
    let away = Instant::now();
    eventually("health says that it does not serve", || async { !serves(front.clone()).await })
        .await;
    let mut turns = tokio::time::interval(Duration::from_millis(100));
    while away.elapsed() < Duration::from_secs(30) {
        turns.tick().await;
    }
    town.cluster.nodes.iter().for_each(|node| node.signal(Signal::CONT));
    eventually("health says that it serves", || async { serves(front.clone()).await }).await;
    town.until_all_is_well().await;
    town.after("the engine is away for 30 s").await;

    drop(town.fronts.remove(0));
    town.after("a server is killed").await;

    let acknowledged = town.load.seen.acknowledged.load(std::sync::atomic::Ordering::Relaxed);
    let verdict = town.load.end().await;
    eprintln!("{acknowledged} acknowledged writes: {verdict:?}");
    assert_eq!(verdict, Verdict::default());
}
