//! Chains of commands and their output.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use super::{Cli, finish};
use crate::harness::Server;

#[tokio::test]
async fn the_transcript_of_the_first_clients() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let ran = cli.run("put city Kolkata put country India get country get city get Institute");
    assert_eq!(ran.text(), "India\nKolkata\n<blank>\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
    let address = server.grpc();
    let line = format!("{} {} put city Delhi get city", address.ip(), address.port());
    assert_eq!(Cli::at("127.0.0.1:1", "rwitick").run(&line).ok(), "Delhi\n");
}

#[tokio::test]
async fn one_after_another() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    // All on one store, in this order.
    for (line, code, stdout, stderr) in [
        ("put city Kolkata", 0, "", ""),
        ("get city", 0, "Kolkata\n", ""),
        ("get nope", 3, "<blank>\n", ""),
        ("get nope get city", 0, "<blank>\nKolkata\n", ""),
        ("get nope put a 1", 3, "<blank>\n", ""),
        ("--strict get nope get city", 3, "<blank>\nKolkata\n", ""),
        ("get a put", 2, "", "error: `put` lacks its KEY"),
        ("put city Delhi gett city", 2, "", "error: `gett` is no command; did you mean `get`?"),
        ("get city", 0, "Kolkata\n", ""),
        ("put k v --if-revision 99 get city", 6, "", "error: "),
        ("put k v --if-revision 0 put k w --if-revision 0", 6, "", "error: "),
        ("get k", 0, "v\n", ""),
        ("delete k delete k", 0, "deleted\n<blank>\n", ""),
        ("keys", 0, "a\ncity\n", ""),
        ("keys c keys -- get", 0, "city\n", ""),
        ("getother anuran city", 0, "Kolkata\n", ""),
        ("putother anuran city Mumbai get city", 0, "Mumbai\n", ""),
        ("put t v --ttl 1d -- get t", 2, "", "error: `put` has no option `--`"),
        (
            "encode comm decode 01100011 01101111",
            0,
            "01100011 01101111 01101101 01101101\nco\n",
            "",
        ),
        ("calc 12 + 13 calc 4.5 / -6", 0, "25.0\n-0.75\n", ""),
        ("calc 1 / 0", 2, "", "error: "),
        ("decode 012", 2, "", "error: "),
        ("scan", 0, "", ""),
        ("whoami", 0, "anuran (guest)\n", ""),
        (
            "help get",
            0,
            "get KEY\n  print a key's value, <blank> if there is no such key\n\n\
             Examples:\n  get city\n",
            "",
        ),
    ] {
        let ran = cli.run(line);
        assert_eq!(ran.code, Some(code), "{line}: {}", ran.stderr);
        if line == "scan" {
            let mut lines: Vec<&str> = ran.text().lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, ["a  1", "city  Mumbai"]);
        } else {
            assert_eq!(ran.text(), stdout, "{line}");
        }
        assert!(
            ran.stderr.starts_with(stderr) && ran.stderr.is_empty() == stderr.is_empty(),
            "{line}: {}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn values_come_from_where_they_are_said_to_be() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let bytes: Vec<u8> = (0..=255).collect();
    cli.write("bytes", &bytes);
    cli.run("put b @bytes put at @@home").ok();
    cli.run_words(&["put", "dash", "--", "-", "put", "spaces", "New Delhi"]).ok();
    cli.run_with_input("put in -", b"from\na pipe\n").ok();
    for (key, want) in [
        ("b", bytes.as_slice()),
        ("at", b"@home\n"),
        ("dash", b"-\n"),
        ("spaces", b"New Delhi\n"),
        ("in", b"from\na pipe\n\n"),
    ] {
        let ran = cli.run(&format!("get {key}"));
        assert_eq!((ran.code, ran.stdout.as_slice()), (Some(0), want), "{key}");
    }
    cli.write("big", vec![b'x'; (1 << 20) + 1]);
    for (line, code, want) in [
        ("put x @nowhere", 2, "cannot read nowhere: "),
        ("put x @big", 2, "big has more than 1 MiB"),
        ("put x - put y -", 2, "the standard input can be read only once"),
    ] {
        let error = cli.run(line).error(code);
        assert!(error.starts_with(want), "{line}: {error}");
    }
    // Nothing of a chain runs when a value cannot be read.
    cli.run("put first 1 put second @nowhere").error(2);
    assert_eq!(cli.run("get first").text(), "<blank>\n");
}

#[tokio::test]
async fn json_has_what_the_contract_has() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let ran = |line: &str| -> Vec<Value> {
        let ran = cli.run(line);
        serde_json::Deserializer::from_slice(&ran.stdout).into_iter().map(Result::unwrap).collect()
    };
    let put = |revision: u64| json!({ "key": "k", "revision": revision, "durability": "local" });
    for (line, want) in [
        (
            "-o jsonl put k v get k get nope",
            vec![
                put(1),
                json!({ "key": "k", "value": "v", "revision": 1 }),
                json!({ "key": "nope", "value": null }),
            ],
        ),
        ("-o json put k w", vec![put(2)]),
        ("-o json keys", vec![json!([{ "key": "k" }])]),
        ("-o jsonl keys", vec![json!({ "key": "k" })]),
        ("-o json keys x", vec![json!([])]),
        ("-o jsonl scan", vec![json!({ "key": "k", "value": "w", "revision": 2 })]),
        ("-o jsonl scan --keys-only", vec![json!({ "key": "k", "revision": 2 })]),
        (
            "-o jsonl delete k",
            vec![json!({ "key": "k", "deleted": true, "revision": 3, "durability": "local" })],
        ),
        ("-o jsonl calc 1 + 2", vec![json!({ "result": 3.0, "text": "3.0" })]),
    ] {
        assert_eq!(ran(line), want, "{line}");
    }
    let info = &ran("-o json info")[0];
    assert_eq!(
        (info["version"].as_str(), info["limits"]["max_key_bytes"].as_u64()),
        (Some(env!("CARGO_PKG_VERSION")), Some(1_024))
    );
    assert_eq!(ran("-o json whoami")[0]["role"], "guest");
    let accesses = ran("-o json accesses");
    assert_eq!(accesses, [json!([])]);
}

#[tokio::test]
async fn scripts_stop_at_the_first_error_and_tell_its_line() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    for (script, code, stdout, stderr) in [
        (
            "put city 'New Delhi'\n\n# a comment\nget city get nope\nget city\n",
            0,
            "New Delhi\n<blank>\nNew Delhi\n",
            "",
        ),
        ("get nope\n", 3, "<blank>\n", ""),
        (
            "get city\nget\nget city\n",
            2,
            "New Delhi\n",
            "error: line 2: `get` lacks its KEY; the form is `get KEY`\n",
        ),
        ("put k v --if-revision 9\nget city", 6, "", "error: line 1: "),
        ("put k -\n", 2, "", "error: line 1: the standard input can be read only once"),
        ("get 'city\n", 2, "", "error: line 1: a quote does not end\n"),
        ("", 0, "", ""),
    ] {
        let ran = cli.run_with_input("", script.as_bytes());
        assert_eq!((ran.code, ran.text()), (Some(code), stdout), "{script}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with(stderr) && ran.stderr.is_empty() == stderr.is_empty(),
            "{script}: {}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn a_listing_is_whole_and_sorted_and_its_reader_may_leave() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let padding = "x".repeat(60);
    let lines: String =
        (0..2_500).map(|n| format!("{{\"key\":\"{n:05}{padding}\",\"value\":\"\"}}\n")).collect();
    assert_eq!(cli.run_with_input("import", lines.as_bytes()).ok(), "2500 entries\n");
    let keys = cli.run("keys").ok();
    let want: Vec<String> = (0..2_500).map(|n| format!("{n:05}{padding}")).collect();
    assert_eq!(keys.lines().collect::<Vec<_>>(), want);

    // More than a pipe holds, so the writer notices that the reader is gone.
    let mut child = cli.command(["keys"]).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    drop(reader);
    assert_eq!(first.trim_end(), want[0]);
    let ran = finish(child, b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn the_help_lists_commands_options_and_exit_codes() {
    let cli = Cli::at("127.0.0.1:1", "anuran");
    let help = cli.run("--help").ok();
    for part in [
        "putother USER KEY VALUE",
        "--password-file",
        "KVRPC_SERVER",
        "\n  130  interrupted",
        "Examples:",
    ] {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
    assert_eq!(cli.run("--version").ok(), format!("kvrpc-cli {}\n", env!("CARGO_PKG_VERSION")));
    assert!(cli.run("man").ok().starts_with(".ie"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(cli.run(&format!("completions {shell}")).ok().contains("putother"), "{shell}");
    }
}
