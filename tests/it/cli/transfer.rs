//! Export and import.

use super::Cli;
use crate::harness::{Server, eventually, exchange};

#[tokio::test]
async fn what_is_exported_comes_back_as_it_was() {
    let server = Server::start().await;
    let (from, to) = (Cli::new(&server, "anuran"), Cli::new(&server, "rwitick"));
    let bytes: Vec<u8> = (0..=255).collect();
    from.write("bytes", &bytes);
    from.write("large", vec![b'"'; 1 << 20]);
    from.run("put city Kolkata put bytes @bytes put later 1 --ttl 1d put large @large put other x")
        .ok();
    from.run_words(&["put", "lines", "a\n\"b\"\u{202e}"]).ok();
    let exported = from.run("export").ok();
    assert_eq!(exported.lines().count(), 6);
    assert_eq!(from.run("export l").ok().lines().count(), 3);

    to.write("store.jsonl", &exported);
    assert_eq!(to.run("import store.jsonl").ok(), "6 entries\n");
    assert_eq!(to.run("get bytes").stdout, bytes);
    let fields = |cli: &Cli| -> Vec<serde_json::Value> {
        let exported = cli.run("export").ok();
        let mut lines: Vec<serde_json::Value> =
            exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter_mut().for_each(|line| line["revision"] = 0.into());
        lines.sort_by_key(|line| line["key"].to_string());
        lines
    };
    assert_eq!(fields(&from), fields(&to));
    assert!(fields(&to).iter().any(|line| line["expire_time"].is_string()));
}

#[tokio::test]
async fn a_wrong_line_imports_nothing() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    let good = "{\"key\":\"a\",\"value\":\"1\"}\n".repeat(1_500);
    for (bad, want) in [
        ("{\"key\":\"\",\"value\":\"1\"}", "line 1501: key is empty"),
        ("{\"key\":\"b\"}", "line 1501: neither value nor blob"),
        ("nonsense", "line 1501: no JSON of an entry"),
    ] {
        let error = cli.run_with_input("import -", format!("{good}{bad}\n").as_bytes()).error(2);
        assert!(error.starts_with(want), "{error}");
        assert_eq!(cli.run("keys").ok(), "", "{bad}");
    }
    let error = cli.run("import nowhere").error(2);
    assert!(error.starts_with("cannot read nowhere: "), "{error}");
    let expired = "{\"key\":\"old\",\"value\":\"1\",\"expire_time\":\"2001-01-01T00:00:00Z\"}\n\
         {\"key\":\"new\",\"value\":\"2\"}";
    assert_eq!(
        cli.run_with_input("import", expired.as_bytes()).ok(),
        "1 entries, and 1 left out that have expired\n"
    );
    assert_eq!(cli.run("keys").ok(), "new\n");
}

/// An export over an old connection, to a slow reader, ended with a part of the store.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_after_its_connection_was_cut() {
    let limits = "[limits]\nconnection-age = \"2s\"\nclosing-notice = \"10ms\"\n";
    let server = Server::builder().flag("--grace", "0s").toml(limits).start().await;
    let cli = Cli::new(&server, "eve");
    let value = "v".repeat(32 << 10);
    let line = |number| format!("{{\"key\":\"k{number:03}\",\"value\":\"{value}\"}}\n");
    cli.write("entries", (0..300).map(line).collect::<String>());
    cli.run_words(&["import", "entries"]);
    let mut child = cli.command(["export"]).spawn().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut output, &mut first).unwrap();
    // The program waits for its reader, and does not notice the end of its connection.
    let metrics = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    eventually("the connection is cut", || async {
        exchange(server.admin(), metrics).await.contains("kvrpc_connections{protocol=\"grpc\"} 0")
    })
    .await;
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut keys: Vec<_> = (first + &rest).lines().map(|line| line[8..12].to_owned()).collect();
    keys.sort();
    assert_eq!(keys, (0..300).map(|n| format!("k{n:03}")).collect::<Vec<_>>());
}
