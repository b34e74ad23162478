//! The command line over the legacy protocols.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::{ADAM, Cli, Ran, finish};
use crate::harness::{Server, eventually, within};

const DIALECTS: &[&str] = &[
    "text",
    "pickle",
    "ws-pickle",
    "ws-text",
    "encode",
    "decode",
    "clock",
    "hello",
    "calc",
    "chat",
];

async fn server(policy: &str) -> Server {
    let builder = Server::builder().toml(ADAM).flag("--upgrade-policy", policy);
    let open = |builder: crate::harness::Builder, dialect: &&str| {
        builder.flag("--compat", format!("{dialect}=127.0.0.1:0"))
    };
    DIALECTS.iter().fold(builder, open).start().await
}

fn at(server: &Server, dialect: &str, user: &str) -> Cli {
    Cli::at(server.addresses.of(dialect).unwrap().to_string(), user)
}

/// Runs `--via DIALECT` with these words.
fn run(server: &Server, dialect: &str, user: &str, line: &str) -> Ran {
    at(server, dialect, user).run(&format!("--via {dialect} {line}"))
}

#[tokio::test]
async fn every_listener_that_has_the_command_answers_it() {
    let server = server("managers").await;
    for (dialect, line, out, code) in [
        ("text", "put city Kolkata get city get Institute", "Kolkata\n<blank>\n", 3),
        ("text", "--strict get none put city Kolkata get city", "<blank>\nKolkata\n", 3),
        ("text", "put a 1 put b 2 keys delete a delete a keys", "a\nb\ndeleted\n<blank>\nb\n", 0),
        ("text", "put a 1 --ttl 5m scan", "a  1\n", 0),
        (
            "text",
            "encode comm decode 01101000 01101001 calc 12 + 13",
            "01100011 01101111 01101101 01101101\nhi\n25.0\n",
            0,
        ),
        ("text", "-o jsonl put a 1 get a", "{\"key\":\"a\"}\n{\"key\":\"a\",\"value\":\"1\"}\n", 0),
        ("pickle", "put city Kolkata get city get Institute", "Kolkata\n<blank>\n", 3),
        ("pickle", "get Institute put city Kolkata get city", "<blank>\nKolkata\n", 0),
        ("ws-pickle", "put city Kolkata get city get Institute", "Kolkata\n<blank>\n", 3),
        ("ws-text", "put city Kolkata get city get Institute", "Kolkata\n<blank>\n", 3),
        (
            "encode",
            "encode comm encode hi",
            "01100011 01101111 01101101 01101101\n01101000 01101001\n",
            0,
        ),
        ("decode", "decode 01101000 01101001", "hi\n", 0),
        ("hello", "knock knock", "Whose there?\n", 0),
        ("calc", "calc 12 + 13 calc 4.5 / -6", "25.0\n-0.75\n", 0),
    ] {
        let ran = run(&server, dialect, "anuran", line);
        assert_eq!(
            (ran.text(), ran.code, ran.stderr.as_str()),
            (out, Some(code), ""),
            "{dialect}: {line}"
        );
    }
    let now = run(&server, "clock", "anuran", "now").ok();
    let over_grpc = Cli::new(&server, "anuran").run("now").ok();
    assert_eq!((now.len(), &now[..10]), (over_grpc.len(), &over_grpc[..10]), "{now}");
}

#[tokio::test]
async fn a_value_that_is_no_word_goes_where_the_dialect_can_carry_it() {
    let server = server("managers").await;
    for (dialect, fits) in
        [("text", false), ("ws-text", false), ("pickle", true), ("ws-pickle", true)]
    {
        let cli = at(&server, dialect, "anuran");
        let ran = cli.run_words(&[
            "--via",
            dialect,
            "put",
            "first",
            "1",
            "put",
            "city",
            "New Delhi\n\"x\"",
            "get",
            "city",
        ]);
        if fits {
            assert_eq!(ran.ok(), "New Delhi\n\"x\"\n", "{dialect}");
        } else {
            let error = ran.error(2);
            assert!(
                error.contains("parts words at blanks and knows no quotes"),
                "{dialect}: {error}"
            );
        }
        cli.write("bytes", b"\xff\0");
        let error = cli.run(&format!("--via {dialect} put photo @bytes")).error(2);
        assert!(error.contains("is no UTF-8"), "{dialect}: {error}");
        let error = cli.run_words(&["--via", dialect, "put", "k", &"x".repeat(70_000)]).error(2);
        assert!(error.contains("at most 6554"), "{dialect}: {error}");
    }
}

#[tokio::test]
async fn refusals_end_as_they_do_over_grpc() {
    let server = server("managers").await;
    // A user that stays signed in.
    let eve = Cli::new(&server, "eve");
    assert_eq!(eve.run("put city Delhi").ok(), "");
    for (dialect, line, code, part) in [
        ("text", "getother eve city", 5, "only a manager may use another user's store"),
        ("text", "manage eve put city Pune", 5, "only a manager may use another user's store"),
        ("text", "users", 5, "only a manager may list the users"),
        ("text", "upgrade", 5, "lets only managers promote"),
        ("text", "put a 1 --if-revision 7", 6, "if_revision is 7"),
        ("text", "--password-file wrong auth adam", 4, "wrong user or password"),
        ("text", "calc 1 / 0", 2, "zero"),
        ("text", "decode 012", 2, "a group is 1 to 8 of 0 and 1"),
        (
            "text",
            "--password-file right auth adam getother nobody k",
            3,
            "there is no user \"nobody\"",
        ),
        ("pickle", "getother eve city", 5, "only a manager may read another user's store"),
        ("pickle", "upgrade", 5, "only a manager may make you one"),
        (
            "pickle",
            "--user eve get city",
            6,
            "the name `eve` is in use; take another with --user NAME",
        ),
        ("pickle", "--user adam get city", 6, "the name `adam` is in use"),
        ("ws-pickle", "getother eve city", 5, "only a manager may read another user's store"),
        ("ws-pickle", "--user eve get city", 6, "the name `eve` is in use"),
        ("ws-text", "getother eve city", 5, "only a manager may read another user's store"),
        ("ws-text", "upgrade", 5, "only a manager may make you one"),
        ("ws-text", "--user eve get city", 6, "the name `eve` is in use"),
        ("ws-text", "--user 1234 get city", 2, "does not allow the name `1234`"),
        ("decode", "decode 012", 2, "\"012\""),
        ("calc", "calc 1 / 0", 2, "division by zero"),
        ("calc", "calc x + 1", 2, "invalid expression"),
        ("chat", "--user eve chat", 6, "the name is in use"),
        ("chat", "--user 1234 chat", 2, "does not allow the name"),
    ] {
        let cli = at(&server, dialect, "anuran");
        cli.write("wrong", "no\n");
        cli.write("right", "bill\n");
        let error = cli.run(&format!("--via {dialect} {line}")).error(code);
        assert!(error.contains(part), "{dialect}: {line}: {error}");
    }
    // Refused commands have changed nothing.
    assert_eq!(eve.run("get city").ok(), "Delhi\n");
}

#[tokio::test]
async fn a_manager_by_the_text_listener_reads_and_writes_others() {
    let server = server("managers").await;
    let eve = Cli::new(&server, "eve");
    assert_eq!(eve.run("put city Delhi").ok(), "");
    let cli = at(&server, "text", "anuran");
    cli.write("password", "bill\n");
    let line = "--via text --password-file password auth adam manage eve get city manage eve put \
         city Pune getother eve city";
    assert_eq!(cli.run(line).ok(), "Authentication success\nDelhi\nPune\n");
    assert_eq!(eve.run("get city").ok(), "Pune\n");
}

#[tokio::test]
async fn under_the_open_policy_guests_promote_themselves() {
    let server = server("open").await;
    let eve = Cli::new(&server, "eve");
    assert_eq!(eve.run("put city Delhi").ok(), "");
    for dialect in ["pickle", "ws-pickle", "ws-text"] {
        let ran = run(&server, dialect, "anuran", "upgrade getother eve city getother eve none");
        assert_eq!(
            (ran.text(), ran.code),
            ("anuran (manager)\nDelhi\n<blank>\n", Some(3)),
            "{dialect}: {}",
            ran.stderr
        );
        let error = run(&server, dialect, "anuran", "upgrade getother nobody k").error(3);
        assert!(error.contains("there is no user \"nobody\""), "{dialect}: {error}");
    }
}

#[tokio::test]
async fn what_a_dialect_lacks_is_named_with_what_it_has_and_nothing_runs() {
    let server = server("managers").await;
    for (dialect, line, want) in [
        (
            "pickle",
            "put a 1 whoami",
            "the dialect `pickle` has no `whoami`; it has get, put, getother, upgrade",
        ),
        (
            "ws-text",
            "put a 1 keys",
            "the dialect `ws-text` has no `keys`; it has get, put, getother, upgrade",
        ),
        ("encode", "decode 01", "the dialect `encode` has no `decode`; it has encode"),
        ("clock", "get a", "the dialect `clock` has no `get`; it has now"),
        ("pickle", "put a 1 --ttl 5s", "the dialect `pickle` has no --ttl or --expire-time"),
        ("ws-text", "upgrade eve", "the dialect `ws-text` can upgrade only oneself"),
        ("chat", "chat tea", "the dialect `chat` has one room, `lobby`, and none called `tea`"),
    ] {
        let cli = at(&server, dialect, "anuran");
        let ran = cli.run(&format!("--verbose --via {dialect} {line}"));
        assert_eq!(ran.error(2), want, "{line}");
    }
    let error = Cli::new(&server, "anuran").run("--verbose get a").error(2);
    assert_eq!(error, "--verbose shows what the older dialects say: give --via DIALECT too");
    let error =
        Cli::new(&server, "anuran").run("--via text --server https://localhost:1 get a").error(2);
    assert!(error.contains("no TLS"), "{error}");
}

#[tokio::test]
async fn both_sides_are_shown_and_no_password() {
    let server = server("managers").await;
    let ran = run(&server, "text", "anuran", "-v put city Kolkata get city");
    let address = server.addresses.of("text").unwrap();
    let want = format!(
        "* text at {address}\n> put city Kolkata\\n\n< Successfully set city as Kolkata\\n\n\
         > get city\\n\n< Kolkata\\n\n"
    );
    assert_eq!((ran.stderr.as_str(), ran.text()), (want.as_str(), "Kolkata\n"));
    let cli = at(&server, "text", "anuran");
    cli.write("password", "bill\n");
    let ran = cli.run("-v --via text --password-file password auth adam");
    assert!(
        ran.stderr.contains("> auth adam ***\\n") && !ran.stderr.contains("bill"),
        "{}",
        ran.stderr
    );
    let ran = run(&server, "encode", "anuran", "-v encode comm");
    assert!(ran.stderr.contains("\n> 0000: 00 00 00 04 63 6f 6d 6d "), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n< 0000: 00 00 00 23 30 31 31 30 "), "{}", ran.stderr);
    let ran = run(&server, "ws-text", "anuran", "-v put a b");
    assert!(
        ran.stderr.ends_with("> anuran\n< success\n> put a b\n< done\n> q\n< exiting\n"),
        "{}",
        ran.stderr
    );
    // Values stored by others are escaped on a terminal.
    let eve = Cli::new(&server, "eve");
    assert_eq!(eve.run_words(&["put", "bad", "\x1b[2J\n\u{202e}x"]).ok(), "");
    let ran = cli.run("-v --via text --password-file password auth adam getother eve bad");
    assert!(ran.stderr.contains("< \\u{1b}[2J\\n\n< \\u{202e}x\\n\n"), "{}", ran.stderr);
    assert!(
        ran.text().ends_with("\x1b[2J\n\u{202e}x\n"),
        "a pipe gets it as it is: {:?}",
        ran.text()
    );
}

#[tokio::test]
async fn the_form_of_the_first_clients_finds_out_what_is_spoken() {
    let server = server("managers").await;
    let cli = Cli::at("192.0.2.1:1", "anuran");
    for (protocol, line, out, code) in [
        ("text", "put city Kolkata get city get none", "Kolkata\n<blank>\n", 3),
        ("grpc", "put city Kolkata get city get none", "Kolkata\n<blank>\n", 3),
    ] {
        let address = server.addresses.of(protocol).unwrap();
        let ran = cli.run(&format!("127.0.0.1 {} {line}", address.port()));
        assert_eq!(
            (ran.text(), ran.code, ran.stderr.as_str()),
            (out, Some(code), ""),
            "{protocol}"
        );
    }
    // Detection of the protocol signs no user in: the server has no guests except those of the
    // connections above.
    let port = server.addresses.of("text").unwrap().port();
    cli.write("password", "bill\n");
    let ran = cli.run(&format!("--password-file password 127.0.0.1 {port} auth adam users"));
    let guests: Vec<&str> = ran.text().lines().filter(|line| line.ends_with("guest")).collect();
    assert_eq!(guests, ["anuran  guest"], "{}", ran.text());
}

#[tokio::test]
async fn a_script_runs_in_one_connection_to_its_first_error() {
    let server = server("managers").await;
    for dialect in ["text", "pickle", "ws-pickle", "ws-text"] {
        let cli = at(&server, dialect, "anuran");
        let ran = cli.run_with_input(
            &format!("--via {dialect}"),
            b"put city Kolkata\n\n# a comment\nget city get none\nget city\n",
        );
        assert_eq!(
            (ran.text(), ran.code),
            ("Kolkata\n<blank>\nKolkata\n", Some(0)),
            "{dialect}: {}",
            ran.stderr
        );
        let ran = cli.run_with_input(
            &format!("--via {dialect}"),
            b"put city Kolkata\ngetother eve city\nget city\n",
        );
        assert_eq!(ran.text(), "", "{dialect}");
        let error = ran.error(5);
        assert!(error.starts_with("line 2: only a manager may "), "{dialect}: {error}");
    }
}

#[tokio::test]
async fn people_talk_by_the_chat_listener() {
    let server = server("managers").await;
    let (one, two) = (at(&server, "chat", "anuran"), at(&server, "chat", "rwitick"));
    let mut listening =
        one.command(["--via", "chat"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let eve = Cli::new(&server, "eve");
    eventually("she is in the room", || {
        let there = eve.run("members").ok().contains("anuran");
        async move { there }
    })
    .await;
    assert_eq!(two.run_with_input("--via chat chat", b"hello\n").ok(), "");
    eventually("he is gone", || {
        let there = eve.run("members").ok().contains("rwitick");
        async move { !there }
    })
    .await;
    drop(listening.stdin.take());
    let heard = finish(listening, b"").ok();
    assert_eq!(heard, "rwitick has joined the chat.\nrwitick: hello\nrwitick has left the chat.\n");
}

/// Starts a peer that sends `answer` on each connection and then stays silent.
async fn peer(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut start = [0; 64];
            let _ = stream.read(&mut start).await;
            let _ = stream.write_all(answer).await;
            kept.push(stream);
        }
    });
    (address, serving)
}

#[tokio::test]
async fn every_wait_has_a_deadline_and_what_is_wrong_is_told() {
    for (dialect, answer, code, part) in [
        ("text", &b""[..], 8, "no answer from"),
        ("pickle", b"", 8, "no answer from"),
        ("ws-text", b"", 8, "no answer from"),
        ("encode", b"\0\0\0\x09cut", 8, "no answer from"),
        ("pickle", b"\x80\x02cos\nsystem\n", 1, "its pickle is refused"),
        ("encode", b"\xff\xff\xff\xffx", 1, "is no frame"),
        (
            "ws-text",
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
            8,
            "opens no WebSocket",
        ),
    ] {
        let (address, serving) = peer(answer).await;
        let line = match dialect {
            "encode" => "encode comm",
            _ => "get city",
        };
        let cli = Cli::at(address.to_string(), "anuran");
        let ran =
            spawn_blocking(move || cli.run(&format!("--timeout 300ms --via {dialect} {line}")));
        let error = within("it ends", ran).await.unwrap().error(code);
        assert!(error.contains(part), "{dialect}: {error}");
        serving.abort();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Cli::at(address.to_string(), "anuran").run("--via pickle get a").error(8);
    assert!(error.contains(&format!("`kvrpc-server --compat pickle={address}`")), "{error}");
    let error =
        Cli::at(address.to_string(), "anuran").run("--timeout 300ms --via clock now").error(8);
    assert!(error.contains(&address.to_string()), "{error}");
}
