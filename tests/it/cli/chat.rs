//! Rooms and watches from the command line.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use expectrl::{ControlCode, Expect as _};

use super::{ADAM, Cli};
use crate::harness::{PATIENCE, Server};

/// A program that runs until it is told to end; killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the lines that a program writes, as they arrive.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = channel();
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|text| line.send(text))
    });
    lines
}

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(PATIENCE).unwrap()
}

#[tokio::test]
async fn a_script_talks_line_by_line() {
    let server = Server::start().await;
    let ann = Cli::new(&server, "ann");
    let text = ann.run_with_input("chat tea", b"hello\n\n//join me\nlast, without an end").ok();
    assert_eq!(text, "ann: hello\nann: /join me\nann: last, without an end\n");
    let bob = Cli::new(&server, "bob");
    // The history, then bob's message; none of it contains control characters, not even on a pipe.
    let text = bob.run_with_input("chat tea", b"\x1b[2Jhi\n/quit\nnever\n").ok();
    assert_eq!(text, "ann: hello\nann: /join me\nann: last, without an end\nbob: \\u{1b}[2Jhi\n");
    let json = bob.run_with_input("-o jsonl chat tea", b"").ok();
    let events: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["text"], "hello");
    assert_eq!(events.last().unwrap()["event"], "joined");
    let refused = bob.run_with_input("chat tea", &[&[b'x'; 5_000][..], b"\nfine\n"].concat());
    assert!(refused.text().ends_with("bob: fine\n"), "{}", refused.text());
    assert!(refused.stderr.starts_with("not sent: text has 5000 bytes"), "{}", refused.stderr);
    assert_eq!(refused.code, Some(2));
    assert_eq!(bob.run("rooms").ok(), "ROOM  MEMBERS\ntea   0\n");
    assert_eq!(bob.run("-o jsonl members tea").ok(), "");
    assert_eq!(bob.run("members nowhere").error(3), "there is no room \"nowhere\"");
}

#[tokio::test]
async fn people_talk_at_their_terminals() {
    let server = Server::start().await;
    let (ann, bob) = (Cli::new(&server, "ann"), Cli::new(&server, "bob"));
    let mut one = ann.at_terminal("chat");
    one.expect("you are in lobby with ann; /help").unwrap();
    let mut two = bob.at_terminal("chat");
    two.expect("you are in lobby with ann, bob").unwrap();
    one.expect("has joined").unwrap();
    two.send_line("good morning").unwrap();
    one.expect(": good morning").unwrap();
    two.expect(": good morning").unwrap();
    one.send_line("/who").unwrap();
    one.expect("here: ann, bob").unwrap();
    // Another user's control sequences do not reach the terminal.
    bob.run_with_input("chat", b"\x1b]0;owned\x07\n").ok();
    one.expect(": \\u{1b}]0;owned\\u{7}").unwrap();
    two.send_line("/join tea").unwrap();
    two.expect("you are in tea with bob").unwrap();
    one.expect("has left").unwrap();
    one.send_line("/rooms").unwrap();
    one.expect("rooms: lobby (1), tea (1)").unwrap();
    one.send_line("/dance").unwrap();
    one.expect("is no command here").unwrap();
    one.send_line("/quit").unwrap();
    assert_eq!(super::terminal::rest(one).1, 0);
    two.send(ControlCode::EndOfTransmission).unwrap();
    assert_eq!(super::terminal::rest(two).1, 0);
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_where_it_was() {
    let server = Server::builder()
        .toml("[limits]\nconnection-age = \"300ms\"\nclosing-notice = \"50ms\"\n")
        .start()
        .await;
    let ann = Cli::new(&server, "ann");
    let mut chat = Running(ann.command(["chat", "tea"]).stdin(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(chat.0.stdout.take().unwrap());
    let notices = lines_of(chat.0.stderr.take().unwrap());
    let mut stdin = chat.0.stdin.take().unwrap();
    // A message before and after the end of each of two connections.
    for number in 0..3 {
        writeln!(stdin, "message {number}").unwrap();
        assert_eq!(next(&lines), format!("ann: message {number}"));
        assert!(next(&notices).ends_with("connecting again -"));
    }
    drop(stdin);
    // The end of the program closes its output.
    assert!(lines.recv_timeout(PATIENCE).is_err(), "nothing comes twice");
    assert!(chat.0.wait().unwrap().success());
}

#[tokio::test]
async fn a_watch_prints_changes_as_they_are_made() {
    let server = Server::builder().toml(ADAM).start().await;
    let ann = Cli::new(&server, "ann");
    ann.run("put before 1").ok();
    let mut watch = Running(ann.command(["-o", "jsonl", "watch", "c"]).spawn().unwrap());
    let lines = lines_of(watch.0.stdout.take().unwrap());
    // Changes before the watch has started are not shown, so one is made repeatedly.
    let started = std::time::Instant::now();
    let first = loop {
        ann.run("put city Kolkata").ok();
        match lines.try_recv() {
            Ok(line) => break line,
            Err(_) => assert!(started.elapsed() < PATIENCE, "the watch says nothing"),
        }
    };
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["change"], &first["value"]), (&"put".into(), &"Kolkata".into()));
    ann.run("delete city put other 1").ok();
    let deleted =
        std::iter::repeat_with(|| next(&lines)).find(|line| line.contains("delete")).unwrap();
    assert!(deleted.contains("\"key\":\"city\""), "{deleted}");
    assert_eq!(ann.run("watch --user adam").code, Some(5));
}
