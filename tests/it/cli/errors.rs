//! Errors on the way to a server, and the next step that each message suggests.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

use super::{Cli, Ran, finish};
use crate::harness::{Authority, Server, eventually, within};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs the command line while the test goes on.
async fn beside(cli: Cli, line: &'static str) -> (Cli, Ran) {
    within(
        "the command ends",
        spawn_blocking(move || {
            let ran = cli.run(line);
            (cli, ran)
        }),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, address) = listener().await;
    drop(listener);
    let cli = Cli::at(address.to_string(), "anuran");
    let want = format!(
        "no server at {address}; start one with `kvrpc-server`, or name another with --server"
    );
    assert_eq!(cli.run("get city").error(8), want);
    assert_eq!(cli.run("now").error(8), want);
    let ran = cli.run("doctor");
    assert!(
        ran.text().contains("fail  connection") && ran.text().contains("`kvrpc-server`"),
        "{}",
        ran.text()
    );
    assert_eq!(ran.error(8), "1 of the checks failed");
    let error = Cli::at("name.invalid:1", "anuran").run("now").error(8);
    assert_eq!(error, "no host of this name: name.invalid:1; see --server");
}

#[tokio::test]
async fn what_listens_speaks_something_else() {
    for (name, reply, want) in [
        ("text", &b"Illegal command"[..], "does not speak gRPC; is it the right port?"),
        (
            "a web server",
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
            "does not speak gRPC; is it the right port?",
        ),
    ] {
        let (listener, address) = listener().await;
        let serve = async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut start = [0; 64];
                let _ = stream.read(&mut start).await;
                let _ = stream.write_all(reply).await;
            }
        };
        let serving = tokio::spawn(serve);
        let (_, ran) = beside(Cli::at(address.to_string(), "anuran"), "now").await;
        let error = ran.error(8);
        assert!(error.contains(want), "{name}: {error}");
        serving.abort();
    }
}

#[tokio::test]
async fn nobody_answers() {
    let (listener, address) = listener().await;
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
        }
    });
    let (_, ran) = beside(Cli::at(address.to_string(), "anuran"), "--timeout 300ms now").await;
    assert_eq!(
        ran.error(8),
        format!("no answer from {address} within 300ms; --timeout gives it longer")
    );
    serving.abort();
}

#[tokio::test]
async fn an_interrupt_ends_it() {
    let (listener, address) = listener().await;
    let cli = Cli::at(address.to_string(), "anuran");
    let child = cli.command(["--timeout", "1h", "now"]).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let _connection = within("it connects", listener.accept()).await.unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ran = within("it ends", spawn_blocking(move || finish(child, b""))).await.unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""));
}

#[tokio::test]
async fn tls_is_used_where_it_is_asked_for() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("server"));
    let root = authority.write_root();
    let tls = Server::builder().flag("--tls-cert", cert).flag("--tls-key", key).start().await;
    let plain = Server::start().await;
    let (tls, plain) = (tls.grpc().port(), plain.grpc().port());

    let cli = Cli::at(format!("https://localhost:{tls}"), "anuran");
    assert_eq!(cli.run(&format!("--ca-cert {root} put k v get k")).ok(), "v\n");
    let error = cli.run("get k").error(8);
    assert!(error.contains("--ca-cert"), "{error}");
    let doctor = cli.run(&format!("--ca-cert {root} doctor")).ok();
    assert_eq!(doctor.lines().count(), 8, "{doctor}");

    let cli = Cli::at(format!("http://localhost:{tls}"), "anuran");
    let want = format!("the server at localhost:{tls} speaks TLS; use https://localhost:{tls}");
    assert_eq!(cli.run("get k").error(8), want);

    let cli = Cli::at(format!("https://localhost:{plain}"), "anuran");
    let want =
        format!("the server at localhost:{plain} does not speak TLS; use http://localhost:{plain}");
    assert_eq!(cli.run(&format!("--ca-cert {root} get k")).error(8), want);
}

#[tokio::test]
async fn a_server_may_ask_for_a_clients_certificate() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("server"));
    let root = authority.write_root();
    let builder = Server::builder()
        .flag("--tls-cert", cert)
        .flag("--tls-key", key)
        .flag("--tls-client-ca", &root);
    let server = builder.start().await;
    let signed = authority.sign("anuran");
    let (cert, key) = (
        authority.write("client.pem", &signed.cert),
        authority.write("client-key.pem", &signed.key),
    );
    let cli = Cli::at(format!("https://localhost:{}", server.grpc().port()), "anuran");
    assert_eq!(
        cli.run(&format!("--ca-cert {root} --cert {cert} --key {key} put k v get k")).ok(),
        "v\n"
    );
    let error = cli.run(&format!("--ca-cert {root} get k")).error(8);
    assert!(error.contains("--cert and --key"), "{error}");
}

#[tokio::test]
async fn a_healthy_server_passes_every_check() {
    let server = Server::start().await;
    let cli = Cli::new(&server, "anuran");
    for round in ["without a session", "with one"] {
        let text = cli.run("doctor").ok();
        let steps: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("ok    ")).collect();
        assert_eq!(steps.len(), 8, "{round}: {text}");
        assert_eq!(text.contains("anuran (guest)"), round == "with one", "{text}");
        cli.run("token").ok();
    }
}

/// The connection is lost after the server's write and before the client learns of it. The same
/// request is sent again and gets the first answer.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let server = Server::start().await;
    let direct = Cli::new(&server, "anuran");
    let token = direct.run("token").ok().trim_end().to_owned();
    let (listener, address) = listener().await;
    let upstream = server.grpc();
    let (client, token_of_client) = (Cli::at(address.to_string(), "anuran"), token.clone());
    let writing = spawn_blocking(move || {
        client.run_with_variable("-o jsonl put city Kolkata", "KVRPC_TOKEN", &token_of_client)
    });

    let (first, _) = within("it connects", listener.accept()).await.unwrap();
    let (mut from_client, _to_client) = first.into_split();
    let (_from_server, mut to_server) = TcpStream::connect(upstream).await.unwrap().into_split();
    let forwarding = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        to_server
    });
    eventually("the server has written", || async { direct.run("get city").text() == "Kolkata\n" })
        .await;
    // Both connections end here, and no part of the answer has reached the client.
    forwarding.abort();
    drop((_to_client, _from_server));

    let (mut second, _) = within("it connects again", listener.accept()).await.unwrap();
    let forwarding = tokio::spawn(async move {
        let mut upstream = TcpStream::connect(upstream).await.unwrap();
        let _ = copy_bidirectional(&mut second, &mut upstream).await;
    });
    let ran = within("the command ends", writing).await.unwrap();
    let reply: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(reply["revision"], 1);
    let kept: serde_json::Value =
        serde_json::from_str(&direct.run("-o jsonl get city").ok()).unwrap();
    assert_eq!(kept["revision"], 1, "it was written twice");
    forwarding.abort();
}
