//! Short loads on a real server, and what must end a load.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod server;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use kvrpc::pb::v1::auth_service_client::AuthServiceClient;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::{AuthRequest, ListKeysRequest, ListUsersRequest};
use serde_json::Value as Json;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;

use server::Server;

/// Legacy protocols that a load can use.
const LEGACY: [&str; 3] = ["text", "pickle", "ws-text"];

fn server() -> Server {
    let mut flags = vec!["--upgrade-policy".to_owned(), "open".to_owned()];
    for name in LEGACY {
        flags.extend(["--compat".to_owned(), format!("{name}=127.0.0.1:0")]);
    }
    Server::start(&flags)
}

/// The load generator for one server, in a directory of its own.
struct Bench {
    home: TempDir,
    server: String,
}

/// The end of a run, and its output.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Bench {
    fn new(server: &Server) -> Self {
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("password"), "bill\n").unwrap();
        Self { home, server: server.grpc().to_string() }
    }

    /// Runs words that spaces separate, with an empty environment.
    fn run(&self, line: &str) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_kvrpc-bench"))
            .env_clear()
            .current_dir(&self.home)
            .env("KVRPC_SERVER", &self.server)
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a load that must succeed, and returns its JSON.
    #[track_caller]
    fn load(&self, line: &str) -> Json {
        let account = "-o json --user adam --password-file password";
        serde_json::from_str(&self.run(&format!("{line} {account}")).ok()).unwrap()
    }
}

impl Ran {
    /// The output of a run that must have succeeded.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The error of a run that must have failed with this code.
    #[track_caller]
    fn error(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self.stderr.strip_prefix("error: ").unwrap_or(&self.stderr).trim_end().to_owned()
    }
}

#[tokio::test]
async fn every_mode_runs_and_counts() {
    let server = server();
    let bench = Bench::new(&server);
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
        let result = bench.load(&format!("{line} --duration 1m"));
        assert_eq!(
            (&result["operations"], &result["timed"]),
            (&operations.into(), &timed.into()),
            "{line}"
        );
        let times = ["p50", "p90", "p99", "p99.9", "max"]
            .map(|name| result["latency_us"][name].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{line}: {times:?}");
    }
    nothing_is_left(server.channel()).await;
}

/// Checks that no guest of a load has a session, and that the account's store is empty.
async fn nothing_is_left(channel: Channel) {
    let auth = AuthRequest { user: "adam".to_owned(), password: "bill".to_owned() };
    let token = AuthServiceClient::new(channel.clone()).auth(auth).await.unwrap();
    let bearer = format!("Bearer {}", token.into_inner().token);
    let signed = || {
        let mut metadata = tonic::metadata::MetadataMap::new();
        metadata.insert("authorization", bearer.parse().unwrap());
        metadata
    };
    let request = Request::from_parts(signed(), Default::default(), ListUsersRequest::default());
    let users = AuthServiceClient::new(channel.clone()).list_users(request).await.unwrap();
    let users = format!("{:?}", users.into_inner());
    assert!(users.contains("adam") && !users.contains("bench-"), "{users}");
    let request = Request::from_parts(signed(), Default::default(), ListKeysRequest::default());
    let keys = KeyValueServiceClient::new(channel).list_keys(request).await.unwrap().into_inner();
    assert!(keys.keys.is_empty(), "{keys:?}");
}

#[test]
fn a_fixed_rate_is_kept() {
    let server = server();
    let bench = Bench::new(&server);
    for mode in ["unary", "text", "batch --batch 10", "pipeline --batch 10", "chat --connections 2"]
    {
        let result = bench.load(&format!("{mode} --rate 400 --duration 500ms"));
        assert_eq!(result["operations"], 200, "{mode}");
        // The last request starts one interval, at most 25 ms, before the end.
        assert!(result["seconds"].as_f64().unwrap() > 0.47, "{mode}: {result}");
    }
}

#[test]
fn people_read_a_table_and_a_plot() {
    let server = server();
    let bench = Bench::new(&server);
    let text = bench.run("text --operations 20 --plot latency.svg").ok();
    let id = std::process::id();
    assert!(
        bench.load(&format!("batch --operations 16000 --pid {id}"))["server_cpu_us_per_operation"]
            .as_f64()
            > Some(0.0)
    );
    for part in
        ["text as guest: 8 connections", "20 operations in ", "every answer was right", "p99.9  "]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let plot = std::fs::read_to_string(bench.home.path().join("latency.svg")).unwrap();
    assert!(
        plot.starts_with("<svg ") && plot.contains("<polyline") && plot.contains("\n90\n"),
        "{plot}"
    );
    let error = bench.run("unary --operations 1 --plot nowhere/latency.svg").error(2);
    assert!(error.starts_with("cannot write nowhere/latency.svg: "), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let server = Server::start(&[]);
    let bench = Bench::new(&server);
    for (line, code, want) in [
        ("", 2, "required arguments were not provided"),
        ("bulk", 2, "[possible values: unary, batch, "),
        ("unary --connections 0", 2, "it must be a whole number from 1 to 10000"),
        ("unary --writes 101", 2, "101 is not in 0..=100"),
        ("unary --duration 2h", 2, "1ms to 1h is allowed"),
        ("unary --rate 0", 2, "0 is not in 1..=10000000"),
        ("text --in-flight 2", 2, "--in-flight is not used by `text`; see --batch"),
        ("batch --other", 2, "--other is not used by `batch`"),
        ("text --value-size 61441", 2, "at most 61440 for `text`"),
        ("batch --value-size 1048576", 2, "too long a request"),
        (
            "text",
            2,
            "the server has no `text`; start it with --compat text=127.0.0.1:PORT, or give \
             --listener",
        ),
        ("text --listener 127.0.0.1:1", 8, "cannot connect to 127.0.0.1:1"),
        ("unary --other", 1, "only a manager may read another user's store"),
        ("text --users 2", 2, "--users is not used by `text`; it is for guests over gRPC"),
        ("unary --pid 4294967295", 2, "--pid: there is no process 4294967295 on this machine"),
        ("unary --manager", 2, "--password-file <FILE>"),
    ] {
        let error = bench.run(line).error(code);
        assert!(error.contains(want), "{line}: {error}");
    }
}

/// Answer of a fake listener to a line, or `None` to close the connection.
type Answer = fn(&str) -> Option<String>;

/// Starts a listener that answers each line by a function, on a thread of its own.
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

/// The right answer to a line.
fn right(line: &str) -> String {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["put", key, value] => format!("Successfully set {key} as {value}\n"),
        _ => "abcdefghij\n".to_owned(),
    }
}

#[test]
fn a_wrong_answer_fails_the_run() {
    let server = Server::start(&[]);
    let bench = Bench::new(&server);
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
        let listener = fake(answer);
        let line = format!(
            "text --listener {listener} --operations 50 --connections 1 --value-size 10 --writes 0"
        );
        let ran = bench.run(&line);
        if code == 0 {
            ran.ok();
            continue;
        }
        let error = ran.error(code);
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// A fixed rate counts from when each request was due, so one slow answer shows in all requests
/// that waited behind it; a closed loop hides them.
#[test]
fn a_stall_is_seen_by_all_that_were_due() {
    let server = Server::start(&[]);
    let bench = Bench::new(&server);
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
    let run = |listener: SocketAddr, more: &str| {
        let options = "--connections 1 --value-size 10 --writes 0 --operations 100 --duration 1m";
        let result = bench.load(&format!("text --listener {listener} {options} {more}"));
        result["latency_us"]["p50"].as_f64().unwrap()
    };
    // 100 requests in 500 ms: nine tenths were due while the listener was silent, and waited for
    // the rest of its silence and for each other.
    let fixed = run(slow(silence), "--rate 200");
    let (_never, silence): (_, Receiver<()>) = mpsc::channel();
    let closed = run(slow(silence), "");
    assert!(
        fixed > 100_000.0 && closed < 50_000.0,
        "fixed rate {fixed} µs, closed loop {closed} µs"
    );
}
