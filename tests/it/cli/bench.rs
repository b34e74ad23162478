//! `bench`: short loads through real doors, and what must end a load.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use super::{ADAM, Cli};
use crate::harness::Server;

const DOORS: [&str; 3] = ["text", "pickle", "ws-text"];

async fn server() -> Server {
    let mut builder = Server::builder().flag("--upgrade-policy", "open").toml(ADAM);
    for door in DOORS {
        builder = builder.flag("--compat", format!("{door}=127.0.0.1:0"));
    }
    builder.start().await
}

/// A load that must go well, as JSON.
#[track_caller]
fn load(cli: &Cli, line: &str) -> Json {
    serde_json::from_str(&cli.run(&format!("-o json --password-file password bench {line}")).ok())
        .unwrap()
}

#[tokio::test]
async fn every_mode_runs_and_counts() {
    let server = server().await;
    let cli = Cli::new(&server, "adam");
    cli.write("password", "bill\n");
    for (line, operations, timed) in [
        ("unary --operations 200", 200, 200),
        ("unary --operations 200 --connections 2 --in-flight 4 --writes 100", 200, 200),
        ("unary --operations 50 --users 5 --keys 3", 50, 50),
        ("unary --operations 50 --manager", 50, 50),
        ("unary --operations 50 --manager --other", 50, 50),
        ("unary --operations 3 --value-size 1048576 --keys 5", 3, 3),
        ("batch --operations 320", 320, 20),
        ("batch --operations 100 --batch 100 --manager --connections 1", 100, 1),
        ("pipeline --operations 3200 --connections 2 --in-flight 8", 3_200, 200),
        ("pipeline --operations 100 --batch 100 --manager --writes 100", 100, 1),
        ("text --operations 200", 200, 200),
        ("text --operations 200 --batch 10 --value-size 2000 --keys 300", 200, 20),
        ("text --operations 20 --manager --other", 20, 20),
        ("pickle --operations 200 --batch 5", 200, 40),
        ("pickle --operations 20 --manager --other", 20, 20),
        ("ws-text --operations 200 --batch 2", 200, 100),
        ("ws-text --operations 20 --manager --other", 20, 20),
        // A message comes to each of the members.
        ("chat --operations 40 --connections 3", 40, 120),
    ] {
        let result = load(&cli, &format!("{line} --duration 1m"));
        assert_eq!(
            (&result["operations"], &result["timed"]),
            (&operations.into(), &timed.into()),
            "{line}"
        );
        let times = ["p50", "p90", "p99", "p99.9", "max"]
            .map(|name| result["latency_us"][name].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{line}: {times:?}");
    }
    // Nobody is left behind, and nothing in the account's store.
    cli.run("--password-file password auth adam").ok();
    let users = cli.run("users").ok();
    assert!(!users.contains("bench-"), "{users}");
    assert_eq!(cli.run("keys").ok(), "");
}

#[tokio::test]
async fn a_fixed_rate_is_kept() {
    let server = server().await;
    let cli = Cli::new(&server, "anuran");
    for mode in ["unary", "text", "batch --batch 10", "pipeline --batch 10", "chat --connections 2"]
    {
        let result = load(&cli, &format!("{mode} --rate 400 --duration 500ms"));
        assert_eq!(result["operations"], 200, "{mode}");
        // The last begins one distance, at most of 25 ms, before the end.
        assert!(result["seconds"].as_f64().unwrap() > 0.47, "{mode}: {result}");
    }
}

#[tokio::test]
async fn people_read_a_table_and_a_plot() {
    let server = server().await;
    let cli = Cli::new(&server, "anuran");
    let text = cli.run("bench text --operations 20 --plot latency.svg").ok();
    let id = std::process::id();
    assert!(
        load(&cli, &format!("batch --operations 16000 --pid {id}"))["server_cpu_us_per_operation"]
            .as_f64()
            > Some(0.0)
    );
    for part in
        ["text as guest: 8 connections", "20 operations in ", "every answer was right", "p99.9  "]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let plot = std::fs::read_to_string(cli.home.path().join("latency.svg")).unwrap();
    assert!(
        plot.starts_with("<svg ") && plot.contains("<polyline") && plot.contains("\n90\n"),
        "{plot}"
    );
    let error = cli.run("bench unary --operations 1 --plot nowhere/latency.svg").error(2);
    assert!(error.starts_with("cannot write nowhere/latency.svg: "), "{error}");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    for (line, code, want) in [
        ("bench", 2, "`bench` lacks its MODE"),
        ("bench bulk", 2, "`bulk` is none of unary, batch"),
        ("bench unary --connections 0", 2, "`0` is no whole number from 1 to 10000"),
        ("bench unary --writes 101", 2, "`101` is no whole number from 0 to 100"),
        ("bench unary --duration 2h", 2, "1ms to 1h is allowed"),
        ("bench unary --rate 0", 2, "`0` is no whole number from 1 to 10000000"),
        ("bench text --in-flight 2", 2, "`bench text` has no use for it; see --batch"),
        ("bench batch --other", 2, "`bench batch` has no use for it"),
        ("bench text --value-size 61441", 2, "from 1 to 61440"),
        ("bench batch --value-size 1048576", 2, "too long a request"),
        (
            "bench text",
            2,
            "the server has no door `text`; start it with --compat text=127.0.0.1:PORT, or give --door",
        ),
        ("bench text --door 127.0.0.1:1", 8, "cannot connect to 127.0.0.1:1"),
        ("bench unary --other", 5, "only a manager may read another user's store"),
        ("bench text --users 2", 2, "`bench text` has no use for it; it is for guests over gRPC"),
        (
            "bench unary --pid 4294967295",
            2,
            "--pid: there is no process 4294967295 on this machine",
        ),
        ("bench unary --manager", 2, "there is no terminal to ask for the password on"),
    ] {
        let error = cli.run(line).error(code);
        assert!(error.contains(want), "{line}: {error}");
    }
}

/// What a door answers a line; `None`: it closes.
type Answer = fn(&str) -> Option<String>;

/// A door that answers each line by these words, in a thread of its own.
fn fake(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |stream: TcpStream| {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            let Some(words) = answer(&line) else { return };
            if (&stream).write_all(words.as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || serve(listener.accept().unwrap().0));
    address
}

/// What a right door answers.
fn right(line: &str) -> String {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["put", key, value] => format!("Successfully set {key} as {value}\n"),
        _ => "abcdefghij\n".to_owned(),
    }
}

#[tokio::test]
async fn a_wrong_answer_fails_the_run() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let cases: [(&str, Answer, i32, &str); 5] = [
        ("all right", |line| Some(right(line)), 0, ""),
        (
            "another value",
            |line| Some(right(line).replace("abcdefghij\n", "abcdefghiX\n")),
            1,
            "a wrong answer to text: ",
        ),
        (
            "a put refused",
            |line| {
                Some(if line.starts_with("put") { "Error: full\n".to_owned() } else { right(line) })
            },
            1,
            "a wrong answer to text: `Error: full\\n",
        ),
        (
            "too short",
            |line| Some(if line.starts_with("put") { right(line) } else { "abc\n".to_owned() }),
            1,
            "`abc\\n`",
        ),
        (
            "the end",
            |line| line.starts_with("put").then(|| right(line)),
            1,
            "a wrong answer to text: ``",
        ),
    ];
    for (name, answer, code, want) in cases {
        let door = fake(answer);
        let line = format!(
            "bench text --door {door} --operations 50 --connections 1 --value-size 10 --writes 0"
        );
        let ran = cli.run(&line);
        if code == 0 {
            ran.ok();
            continue;
        }
        let error = ran.error(code);
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// A fixed rate counts from when each request was due, so one slow answer shows in all that waited
/// behind it; a closed loop forgives them.
#[tokio::test]
async fn a_stall_is_seen_by_all_that_were_due() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let (_never, silence): (_, Receiver<()>) = mpsc::channel();
    let slow = |silence: Receiver<()>| {
        let gets = std::sync::atomic::AtomicU32::new(0);
        fake(move |line| {
            if line.starts_with("get")
                && gets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 10
            {
                let _ = silence.recv_timeout(Duration::from_millis(500));
            }
            Some(right(line))
        })
    };
    let run = |door: SocketAddr, more: &str| {
        let options = "--connections 1 --value-size 10 --writes 0 --operations 100 --duration 1m";
        let result = load(&cli, &format!("text --door {door} {options} {more}"));
        result["latency_us"]["p50"].as_f64().unwrap()
    };
    // 100 requests in 500 ms: those due while the door was silent, nine tenths, waited for the rest
    // of its silence and for each other.
    let fixed = run(slow(silence), "--rate 200");
    let (_never, silence): (_, Receiver<()>) = mpsc::channel();
    let closed = run(slow(silence), "");
    assert!(
        fixed > 100_000.0 && closed < 50_000.0,
        "fixed rate {fixed} µs, closed loop {closed} µs"
    );
}
