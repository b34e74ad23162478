//! A backup of every node, and a new cluster from it: by the steps of docs/operations/backup.md.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use kvrpc::model::Method;
use kvrpc::pb::v1;

use crate::cli::Cli;
use crate::grpc::people::{accounts, auth, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::{PATIENCE, RedisCluster, RedisProcess, Server};
use crate::watch::put;

const GUESTS: usize = 30;
const KEYS: usize = 40;

async fn front(url: &str) -> Server {
    Server::builder().flag("--store", url).toml(&accounts()).start().await
}

/// Returns a user's entries with their revisions, and the position of its store.
async fn all_of(user: &Raw) -> (Vec<v1::Entry>, Option<v1::Position>) {
    let request = prost::Message::encode_to_vec(&v1::ScanRequest::default());
    let (mut entries, mut position) = (Vec::new(), None);
    for message in user.bytes(Method::Scan.path(), request).await.unwrap() {
        let response: v1::ScanResponse = prost::Message::decode(message).unwrap();
        position = response.position;
        entries.extend(response.entries);
    }
    (entries, position)
}

fn redis_cli(arguments: &[&str]) -> String {
    let done = Command::new("redis-cli").args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{arguments:?}: {told}");
    told
}

/// Starts a new cluster with a master for each file, each with a replica.
fn restore(files: &[PathBuf]) -> RedisCluster {
    let start =
        || RedisProcess::start(&[&RedisCluster::SETTINGS[..], &["--appendonly", "no"]].concat());
    let mut nodes: Vec<_> = files.iter().map(|_| start()).collect();
    let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let masters: Vec<_> = addresses.iter().map(String::as_str).collect();
    redis_cli(&[&["--cluster", "create"], &masters[..], &["--cluster-yes"]].concat());
    for (node, file) in nodes.iter_mut().zip(files) {
        node.cli(&["SHUTDOWN", "NOSAVE"]);
        std::fs::copy(file, node.folder().join("dump.rdb")).unwrap();
        node.revive();
    }
    until("the masters know each other again", || {
        nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    let fixed = redis_cli(&["--cluster", "fix", masters[0]]);
    assert!(
        fixed.contains("Moving slot"),
        "what lay elsewhere in the old cluster is moved: {fixed}"
    );
    for master in &masters {
        let replica = start();
        let id = redis_cli(&["-p", master.rsplit_once(':').unwrap().1, "CLUSTER", "MYID"]);
        let address = format!("127.0.0.1:{}", replica.port);
        let add = [
            "--cluster",
            "add-node",
            &address,
            masters[0],
            "--cluster-slave",
            "--cluster-master-id",
            id.trim(),
        ];
        redis_cli(&add);
        nodes.push(replica);
    }
    for node in &nodes {
        assert_eq!(node.cli(&["CONFIG", "SET", "appendonly", "yes"]).trim(), "OK");
    }
    until("every replica has all", || {
        let linked = |node: &&RedisProcess| {
            node.cli(&["INFO", "replication"]).contains("master_link_status:up")
        };
        nodes.iter().filter(linked).count() == files.len()
            && nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    RedisCluster { nodes }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_cluster_comes_back_from_its_backup() {
    let old = RedisCluster::start(1);
    let server = front(&old.url()).await;
    let nobody = Raw::new(server.channel());
    let mut users = vec![auth(&nobody, "adam", "bill").await.unwrap()];
    for guest in 0..GUESTS {
        users.push(sign_in(&nobody, &format!("guest {guest}")).await);
    }
    for (at, user) in users.iter().enumerate() {
        for key in 0..KEYS {
            put(user, &format!("key {key}"), &format!("value {key} of {at}"), None).await;
        }
    }
    let upgrade = v1::UpgradeRequest { user: "guest 1".to_owned() };
    users[0].call::<_, v1::UpgradeResponse>(Method::Upgrade.path(), &upgrade).await.unwrap();
    let mut before = Vec::new();
    for user in &users {
        before.push(all_of(user).await);
    }
    let exported = Cli::at(server.grpc().to_string(), "anuran");
    exported.run("put city Kolkata put country India --ttl 1d").ok();
    let exported = exported.run("export").ok();

    let files = tempfile::TempDir::new().unwrap();
    // After this, the slots are not where a new cluster has them.
    let masters = old.role("master");
    let id = |at: usize| masters[at].cli(&["CLUSTER", "MYID"]).trim().to_owned();
    let address = format!("127.0.0.1:{}", masters[0].port);
    let (from, to) = (id(0), id(1));
    let from_to =
        ["--cluster-from", &from, "--cluster-to", &to, "--cluster-slots", "2000", "--cluster-yes"];
    redis_cli(&[&["--cluster", "reshard", &address], &from_to[..]].concat());
    until("every replica has all", || {
        masters.iter().all(|master| master.cli(&["WAIT", "1", "1000"]).trim() == "1")
    });
    let replicas = old.role("slave");
    assert_eq!(replicas.len(), 3);
    let files_of: Vec<_> =
        replicas.iter().map(|node| files.path().join(node.port.to_string())).collect();
    for (node, file) in replicas.iter().zip(&files_of) {
        redis_cli(&["-p", &node.port.to_string(), "--rdb", file.to_str().unwrap()]);
    }
    drop((server, old));

    let begun = Instant::now();
    let new = tokio::task::block_in_place(|| restore(&files_of));
    let took = begun.elapsed();
    let server = front(&new.url()).await;
    let nobody = Raw::new(server.channel());
    for (user, before) in users.iter().zip(&before) {
        let user = Raw { channel: server.channel(), authorization: user.authorization.clone() };
        assert_eq!(
            all_of(&user).await,
            *before,
            "a token of the old cluster, and all that was its user's"
        );
        put(&user, "key 0", "again", None).await;
        assert_eq!(all_of(&user).await.1.unwrap().sequence, before.1.unwrap().sequence + 1);
    }
    let adam = auth(&nobody, "adam", "bill").await.unwrap();
    let listed: v1::ListUsersResponse = adam
        .call(
            Method::ListUsers.path(),
            &v1::ListUsersRequest { page_size: 100, ..Default::default() },
        )
        .await
        .unwrap();
    let managers = listed.users.iter().filter(|user| user.role == v1::Role::Manager as i32).count();
    assert_eq!((listed.users.len(), managers), (GUESTS + 3, 2), "adam, bob, anuran and the guests");

    let imported = Cli::at(server.grpc().to_string(), "rwitick");
    assert_eq!(imported.run_with_input("import -", exported.as_bytes()).ok(), "2 entries\n");
    assert_eq!(imported.run("get city get country").ok(), "Kolkata\nIndia\n");
    eprintln!(
        "{} users with {KEYS} keys each are as they were; the new cluster took {:.1} s",
        users.len(),
        took.as_secs_f64()
    );
}
