//! The command line on a terminal: the prompt, the password, and safe output.

use std::fs;

use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use expectrl::{ControlCode, Eof, Expect, Session};

use super::{ADAM, Cli};
use crate::harness::{PATIENCE, Server};

impl Cli {
    /// Runs the program with a terminal for all three of its streams.
    pub(super) fn at_terminal(&self, line: &str) -> OsSession {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kvrpc-cli"));
        command
            .env_clear()
            .current_dir(&self.home)
            .env("TERM", "xterm")
            .env("HOME", self.home.path());
        command
            .env("KVRPC_SERVER", &self.server)
            .env("KVRPC_USER", &self.user)
            .args(line.split_whitespace());
        let mut session = Session::spawn(command).unwrap();
        session.set_expect_timeout(Some(PATIENCE));
        session
    }
}

/// Waits for the end; returns the remaining output and the exit code.
pub(super) fn rest(mut session: OsSession) -> (String, i32) {
    let shown = session.expect(Eof).unwrap();
    let shown = String::from_utf8_lossy(shown.as_bytes()).into_owned();
    let status = session.get_process().wait().unwrap();
    let WaitStatus::Exited(_, code) = status else { panic!("{status:?}") };
    (shown, code)
}

#[tokio::test]
async fn the_prompt_edits_completes_and_remembers() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let mut session = cli.at_terminal("");
    session.expect("kvrpc> ").unwrap();
    session.send_line("put capital 'New Delhi' get capital").unwrap();
    session.expect("\r\nNew Delhi\r\n").unwrap();
    session.expect("kvrpc> ").unwrap();
    // Completion of a command.
    session.send("whoa\t").unwrap();
    session.expect("whoami").unwrap();
    session.send_line("").unwrap();
    session.expect("anuran (guest)").unwrap();
    session.expect("kvrpc> ").unwrap();
    // Completion of a key that exists on the server.
    session.send("get cap\t").unwrap();
    session.expect("get capital").unwrap();
    session.send_line("").unwrap();
    session.expect("\r\nNew Delhi\r\n").unwrap();
    session.expect("kvrpc> ").unwrap();
    // An error ends its line, and Ctrl-C clears one.
    session.send_line("gett capital").unwrap();
    session.expect("error: `gett` is no command; did you mean `get`?").unwrap();
    session.expect("kvrpc> ").unwrap();
    session.send("put lost 1").unwrap();
    // Shown to its end, so that the next prompt is a new one.
    session.expect("put lost 1").unwrap();
    session.send(ControlCode::EndOfText).unwrap();
    session.expect("kvrpc> ").unwrap();
    session.send_line("get lost").unwrap();
    session.expect("<blank>").unwrap();
    session.expect("kvrpc> ").unwrap();
    session.send(ControlCode::EndOfTransmission).unwrap();
    assert_eq!(rest(session).1, 0);

    let history = fs::read_to_string(cli.home.path().join(".cache/kvrpc/history")).unwrap();
    assert!(history.contains("put capital") && history.contains("gett capital"), "{history}");
    let mut session = cli.at_terminal("");
    session.expect("kvrpc> ").unwrap();
    session.send_line("exit").unwrap();
    assert_eq!(rest(session).1, 0);
}

#[tokio::test]
async fn a_password_is_asked_for_and_never_shown_or_kept() {
    let server = Server::builder().toml(ADAM).start().await;
    let cli = Cli::new(&server, "anuran");
    let mut session = cli.at_terminal("auth adam");
    session.expect("password for adam: ").unwrap();
    session.send_line("bill").unwrap();
    let (shown, code) = rest(session);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("anuran (manager)") && !shown.contains("bill"), "{shown}");

    let mut session = cli.at_terminal("");
    session.expect("kvrpc> ").unwrap();
    session.send_line("auth adam").unwrap();
    session.expect("password for adam: ").unwrap();
    session.send_line("bill").unwrap();
    session.expect("anuran (manager)").unwrap();
    session.expect("kvrpc> ").unwrap();
    session.send_line("auth adam bill").unwrap();
    session.expect("error: ").unwrap();
    session.expect("kvrpc> ").unwrap();
    session.send_line("exit").unwrap();
    assert_eq!(rest(session).1, 0);
    for file in fs::read_dir(cli.home.path().join(".cache/kvrpc")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("bill"), "{text}");
    }

    let mut session = cli.at_terminal("auth adam");
    session.expect("password for adam: ").unwrap();
    session.send(ControlCode::EndOfText).unwrap();
    assert_eq!(rest(session).1, 130);
}

#[tokio::test]
async fn nothing_harmful_is_shown() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let harmful = "\x1b]0;owned\x07\x1b[2J\u{202e}\u{9b}31m\r\n";
    cli.run_words(&["put", "text", harmful, "put", "\u{202e}key", "v"]).ok();
    cli.write("blob", b"\x1b[2J\xff");
    cli.run("put blob @blob").ok();
    let escaped = "\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\u{202e}\\u{9b}31m\\u{d}\\u{a}";
    for (line, want) in [
        ("get text", escaped),
        ("get blob", "<blob of 5 bytes; send the output to a file or a pipe>"),
        ("keys", "\\u{202e}key"),
        ("scan", escaped),
        ("-o json get text", "\\u001b]0;owned\\u0007\\u001b[2J\\u202e\\u009b31m\\r\\n"),
        ("export", "\\u202ekey"),
        ("get\u{1b}[2J", "error: `get\\u{1b}[2J` is no command"),
    ] {
        let (shown, _) = rest(cli.at_terminal(line));
        assert!(shown.contains(want), "{line}: {shown:?}");
        let plain = shown.replace("\r\n", "").replace('\n', "");
        assert!(!plain.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line}: {shown:?}");
    }
    assert_eq!(cli.run("get text").text(), format!("{harmful}\n"), "a pipe gets what is there");
}
