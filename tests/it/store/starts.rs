//! Redis engines that cannot be used: one line of error, and nothing is written.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use kvrpc::model::Durability;
use kvrpc::store::redis::{DurabilityLevel, RedisOptions, RedisUrl};
use kvrpc::store::{Clock, RedisEngine, Store};

use super::redis::on_runtime;
use super::{NO_LIMITS, write};
use crate::harness::{PATIENCE, RedisCluster, RedisProcess, shared_cluster};

fn start(url: &str, change: impl FnOnce(&mut RedisOptions)) -> Result<RedisEngine, String> {
    let mut options = RedisOptions::new(RedisUrl::parse(url).unwrap());
    options.patience.connect = PATIENCE;
    options.patience.answer = PATIENCE;
    change(&mut options);
    RedisEngine::start(options, Clock::system(), NO_LIMITS).map_err(|error| error.to_string())
}

fn refused(url: &str, part: &str) {
    match start(url, |_| {}) {
        Ok(_) => panic!("{url} does, without {part:?}"),
        Err(line) => {
            assert!(line.contains(part), "{line}");
            assert!(
                line.starts_with("--store redis")
                    && !line.contains('\n')
                    && !line.contains("secret"),
                "{line}"
            );
        }
    }
}

/// Starts a server that identifies itself as an old Redis.
fn old_redis() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let answer = match line.to_ascii_uppercase().as_str() {
                    "HELLO" => "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
                    "SETINFO" | "TRACKING" => "+OK\r\n".to_owned(),
                    "PING" => "+PONG\r\n".to_owned(),
                    "INFO" => {
                        let info = "redis_version:6.2.14\r\nredis_mode:standalone\r\n";
                        format!("${}\r\n{info}\r\n", info.len())
                    }
                    _ => continue,
                };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    port
}

#[test]
#[ignore = "needs redis-server"]
fn what_cannot_be_used_is_refused_in_one_line_and_nothing_is_written() {
    refused("redis://127.0.0.1:1", "127.0.0.1:1 cannot be used: ");
    refused(&format!("redis://127.0.0.1:{}", old_redis()), "is Redis 6.2.14; Redis 7.0");

    let closed = RedisProcess::start(&["--protected-mode", "no"]);
    closed.cli(&["CONFIG", "SET", "requirepass", "open"]);
    refused(&format!("redis://:secret@127.0.0.1:{}", closed.port), "cannot be used: ");

    let alone = RedisProcess::start(&[]);
    refused(&format!("redis-cluster://127.0.0.1:{}", alone.port), "is no node of a cluster");
    let node = shared_cluster().nodes.first().unwrap();
    refused(&node.url(), "is a node of a cluster");
    let unmade = RedisProcess::start(&["--cluster-enabled", "yes"]);
    refused(&format!("redis-cluster://127.0.0.1:{}", unmade.port), "slot");

    for (set, clear, part) in [
        (
            &["SET", "kvrpc:cache", "x"][..],
            &["DEL", "kvrpc:cache"][..],
            "has a key \"kvrpc:cache\", but no mark of ours",
        ),
        (&["SET", "kvrpc:{schema}", "x"], &["DEL", "kvrpc:{schema}"], "says \"x\""),
        (&["LPUSH", "kvrpc:{schema}", "x"], &["DEL", "kvrpc:{schema}"], "is no string"),
        (&["SET", "kvrpc:{schema}", "kvrpc 2"], &["DEL", "kvrpc:{schema}"], "are of version \"2\""),
        (
            &[
                "FUNCTION",
                "LOAD",
                "#!lua name=kvrpc_99\nredis.register_function('kvrpc_99_put', function() return \
                 1 end)",
            ],
            &["FUNCTION", "DELETE", "kvrpc_99"],
            "has the functions of version 99, of a newer kvrpc-server",
        ),
        (
            &["CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"],
            &["CONFIG", "SET", "maxmemory", "0"],
            "set maxmemory-policy noeviction",
        ),
    ] {
        alone.cli(set);
        let before = alone.cli(&["DBSIZE"]) + &alone.cli(&["FUNCTION", "LIST"]);
        refused(&alone.url(), part);
        assert_eq!(alone.cli(&["DBSIZE"]) + &alone.cli(&["FUNCTION", "LIST"]), before, "{part}");
        alone.cli(clear);
    }
    alone.cli(&["SET", "someone", "else's"]);
    let engine = start(&alone.url(), |_| {}).unwrap();
    assert_eq!(engine.durability(), Durability::Local);
    assert_eq!(alone.cli(&["GET", "kvrpc:{schema}"]).trim(), "kvrpc 1");
    drop(engine);
    start(&alone.url(), |_| {}).unwrap();
}

#[test]
#[ignore = "needs redis-server"]
fn a_promise_that_cannot_be_kept_is_refused_and_one_that_can_is_told() {
    let alone = RedisProcess::start(&[]);
    let try_it = |level| start(&alone.url(), |options| options.durability = level).err().unwrap();
    let said = |level, part| assert!(try_it(level).contains(part), "{}", try_it(level));
    said(DurabilityLevel::Fsynced, "needs appendonly yes and appendfsync always");
    said(DurabilityLevel::Replicated(1), "--durability replicated:1 needs 1 replicas of each node");
    alone.cli(&["CONFIG", "SET", "appendonly", "yes", "appendfsync", "always"]);
    let engine =
        start(&alone.url(), |options| options.durability = DurabilityLevel::Fsynced).unwrap();
    let written = on_runtime(engine.open(1).put(write("k", "v").to_ref(), None)).unwrap();
    assert_eq!(written.durability, Durability::Fsynced);

    let cluster = RedisCluster::start(1);
    let engine = start(&cluster.url(), |_| {}).unwrap();
    for id in 1..10 {
        let written = on_runtime(engine.open(id).put(write("k", "v").to_ref(), None)).unwrap();
        assert_eq!((written.durability, written.revision), (Durability::Replicated, 1));
    }
}
