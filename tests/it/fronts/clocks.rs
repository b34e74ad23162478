//! Servers whose clocks differ from the engine's: its clock decides, everywhere.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;

use super::{Fronts, get, reason_of};
use crate::grpc::people::sign_in;
use crate::grpc::raw::{Failure, Raw};
use crate::harness::{ServerProcess, connect, eventually, exchange};
use crate::listeners::client::OldClient;

/// Returns the library that shifts a program's clock, where Debian's package has it.
fn libfaketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|library| library.exists())
        .expect("the package libfaketime is not installed")
}

/// Takes a lock: a key that nobody has, with a time to live.
async fn lock(client: &Raw, ttl: Duration) -> Result<v1::PutResponse, Failure> {
    let ttl = prost_types::Duration::try_from(ttl).unwrap();
    let request = v1::PutRequest {
        key: "lock".to_owned(),
        data: Some(v1::put_request::Data::Value("mine".to_owned())),
        expiry: Some(v1::put_request::Expiry::Ttl(ttl)),
        if_revision: Some(0),
        ..Default::default()
    };
    client.call(Method::Put.path(), &request).await
}

/// Times to live, sessions and leases went by the clock of the server that was called.
#[tokio::test]
#[ignore = "needs redis-server and libfaketime"]
async fn the_engines_clock_decides_however_a_servers_is_set() {
    const TTL: Duration = Duration::from_secs(2);
    let fronts = Fronts::start(1, "").await;
    let library = libfaketime();
    for shift in ["-1h", "-20s", "-6s", "+20s"] {
        let variables = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME", shift),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        let url = fronts.redis.url();
        let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", &url];
        let flags = [&flags[..], &["--compat", "text=127.0.0.1:0"]].concat();
        let shifted = ServerProcess::start_with(&flags, &variables);
        let nobody = Raw::new(crate::cluster::channel(&shifted));
        let there = sign_in(&nobody, &format!("ann {shift}")).await;
        let here = fronts.at(&there, 0);

        let locked = Instant::now();
        lock(&there, TTL).await.unwrap();
        assert_eq!(get(&there, "lock").await.unwrap(), "mine", "{shift}");
        assert_eq!(get(&here, "lock").await.unwrap(), "mine", "{shift}");
        eventually("the lock is free again", || async { lock(&here, TTL).await.is_ok() }).await;
        let held = locked.elapsed();
        // A round trip by which the clock was measured may be unequal both ways.
        let least = TTL - Duration::from_millis(100);
        assert!((least..2 * TTL).contains(&held), "{shift}: held for {held:?}");
        assert_eq!(reason_of(lock(&there, TTL).await), Some(Reason::RevisionMismatch), "{shift}");
        eventually("both find it expired", || async {
            let gone = Some(Reason::KeyNotFound);
            reason_of(get(&there, "lock").await) == gone
                && reason_of(get(&here, "lock").await) == gone
        })
        .await;

        let mut socket = OldClient(connect(shifted.address("text")).await);
        let answer = socket.ask("put city Kolkata").await;
        assert!(!answer.contains("rror"), "{shift}: {answer}");
        let metrics = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let page = exchange(shifted.address("admin"), metrics).await;
        let offset = page.lines().find(|line| line.starts_with("kvrpc_engine_clock_offset"));
        let seconds: f64 = offset.and_then(|line| line.split_once(' ')?.1.parse().ok()).unwrap();
        let wanted = match shift {
            "-1h" => 3_600.0,
            "-20s" => 20.0,
            "-6s" => 6.0,
            _ => -20.0,
        };
        assert!((seconds - wanted).abs() < 1.0, "{shift}: {seconds}");
    }
}
