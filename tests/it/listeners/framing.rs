//! Framing of bare text over real sockets: a line is one line, however it is written.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::client::{OldClient, pickled, server, unpickled};
use crate::harness::Server;

/// Pause within a line that may last at most so long.
const GAP: Duration = Duration::from_millis(100);
/// Time in which a request without a newline is answered.
const ANSWER: Duration = Duration::from_millis(150);
/// Attempts at what a busy machine may delay.
const TRIES: usize = 20;

/// Sends a line in two pieces, nothing being answered between them. Returns false if this machine
/// was too slow to keep the pause.
async fn in_two(client: &mut OldClient, first: &str, second: &str, pause: Duration) -> bool {
    let started = Instant::now();
    client.send(first).await;
    let mut byte = [0; 1];
    let early = timeout(pause, client.0.peek(&mut byte)).await;
    client.send(second).await;
    let kept = started.elapsed() < GAP;
    assert!(early.is_err() || !kept, "{first:?} was answered alone");
    kept
}

/// A protocol, what comes before, two pieces of a line, and the reply to the whole line.
const LINES: &[(&str, &str, &str, &str, &str)] = &[
    ("text", "", "put pin 12", "34 get pin", "Successfully set pin as 1234\n1234"),
    ("text", "", "put pin 1234", "\n", "Successfully set pin as 1234\n"),
    ("text", "", "get", " nothing", "<blank>"),
    ("calc", "bob\n", "12 + 1", "3\n", "25.0\n"),
    ("hello", "", "kno", "ck", "Whose there?"),
];

async fn ask_in_two(server: &Server, line: usize, nodelay: bool, pause: Duration) {
    let (protocol, before, first, second, want) = LINES[line];
    for _ in 0..TRIES {
        let mut client = OldClient::connect(server, protocol).await;
        client.0.set_nodelay(nodelay).unwrap();
        client.send(before).await;
        if in_two(&mut client, first, second, pause).await {
            let reply = client.receive().await;
            assert_eq!(String::from_utf8(reply).unwrap(), want, "{protocol}: {first:?}{second:?}");
            return;
        }
    }
    panic!("{protocol}: no pause of {pause:?} could be kept in {TRIES} attempts");
}

#[tokio::test]
async fn a_line_that_is_written_in_two_pieces_is_one_line() {
    let server = server(&["text", "calc", "hello"], "").await;
    for line in 0..LINES.len() {
        for nodelay in [false, true] {
            for pause in [Duration::ZERO, Duration::from_millis(30), Duration::from_millis(80)] {
                ask_in_two(&server, line, nodelay, pause).await;
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_is_written_in_two_pieces_is_one_name() {
    let server = server(&["chat", "pickle"], "").await;
    let mut listener = OldClient::connect(&server, "chat").await;
    listener.send("listener\n").await;
    let mut name = "char".to_owned();
    let heard = loop {
        let mut client = OldClient::connect(&server, "chat").await;
        if in_two(&mut client, &name, "lie", Duration::from_millis(80)).await {
            break listener.receive().await;
        }
        name.push('r');
        assert!(name.len() < TRIES);
    };
    assert!(String::from_utf8(heard).unwrap().starts_with(&format!("{name}lie has joined")));

    let mut name = "wal".to_owned();
    let mut client = loop {
        let mut client = OldClient::connect(&server, "pickle").await;
        if in_two(&mut client, &name, "ter", Duration::from_millis(80)).await {
            break client;
        }
        name.push('l');
        assert!(name.len() < TRIES);
    };
    let whole = format!("{name}ter");
    let own: &[(&str, &str)] = &[("method", "getother"), ("username", &whole), ("key", "a")];
    client.send(pickled(&[own])).await;
    assert_eq!(unpickled(&client.receive().await), ["Invalid key"]);
}

#[tokio::test]
async fn a_client_that_ended_a_line_once_is_never_cut_by_time() {
    let server = server(&["text"], "").await;
    let mut client = OldClient::connect(&server, "text").await;
    assert_eq!(client.ask("get city\n").await, "<blank>\n");
    client.send("put city Kol").await;
    let mut byte = [0; 1];
    assert!(timeout(3 * ANSWER, client.0.peek(&mut byte)).await.is_err(), "cut by time");
    assert_eq!(
        client.ask("kata\nget city\n").await.lines().next(),
        Some("Successfully set city as Kolkata")
    );
}

#[tokio::test]
async fn a_request_without_a_newline_is_answered_soon() {
    let server = server(&["text", "hello"], "").await;
    for (protocol, request, want) in
        [("text", "get city", "<blank>"), ("hello", "knock", "Whose there?")]
    {
        let mut client = OldClient::connect(&server, protocol).await;
        let mut soonest = Duration::MAX;
        for _ in 0..TRIES {
            let started = Instant::now();
            assert_eq!(client.ask(request).await, want);
            soonest = soonest.min(started.elapsed());
        }
        assert!(soonest < ANSWER, "{protocol}: {soonest:?}");
    }
}
