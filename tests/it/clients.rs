//! Legacy clients as scripts: each connects, waits 5 s, sends without a newline, and waits in one
//! `recv(1024)`.

use std::process::Command;
use std::thread;

use kvrpc::dialect;

use crate::grpc::people::accounts;
use crate::harness::ServerProcess;

/// Protocols whose answers depend on the upgrade policy.
const UPGRADING: &[&str] = &["text", "pickle", "ws-pickle", "ws-text"];

/// Starts a server with all protocols.
fn server(policy: &str) -> ServerProcess {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&config, accounts()).unwrap();
    let listeners: Vec<_> =
        dialect::ALL.iter().map(|dialect| format!("{}=127.0.0.1:0", dialect.name)).collect();
    let mut arguments =
        vec!["--config", config.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    arguments.extend(["--upgrade-policy", policy]);
    arguments.extend(listeners.iter().flat_map(|protocol| ["--compat", protocol]));
    ServerProcess::start(&arguments)
}

/// Runs a client's session and returns the error that it found, if any.
fn session(dialect: &str, address: &str, policy: &str) -> Option<String> {
    let file = format!("{}_client.py", dialect.replace('-', "_"));
    let script = format!("{}/tests/clients/{file}", env!("CARGO_MANIFEST_DIR"));
    let output =
        Command::new("python3").args([&script, address, "--policy", policy]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let right = output.status.success() && said == format!("{dialect}: ok\n");
    (!right).then(|| format!("{dialect} under the policy {policy}: {}: {said}", output.status))
}

#[test]
#[ignore = "needs Python 3 with websockets"]
fn old_clients_get_every_byte_that_they_wait_for() {
    let mut servers = ["managers", "open"].map(|policy| (policy, server(policy)));
    let wrong: Vec<String> = thread::scope(|scope| {
        let mut sessions = Vec::new();
        for (policy, server) in &servers {
            let asked = dialect::ALL.iter().map(|dialect| dialect.name);
            for name in asked.filter(|name| *policy == "managers" || UPGRADING.contains(name)) {
                let address = server.address(name).to_string();
                sessions.push(scope.spawn(move || session(name, &address, policy)));
            }
        }
        sessions.into_iter().filter_map(|session| session.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The one part of a session that the client does not see.
    servers[0].1.wait_for_line("Session ended");
}
