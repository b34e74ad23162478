//! The admin pages.

use tokio::io::AsyncWriteExt;

use crate::harness::{Server, connect, exchange, probe, read_all, within};

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn pages_tell_what_they_are_for() {
    let (_, parts) = probe();
    let server = Server::builder().start_with(parts).await;
    for (path, status, body) in [
        (
            "/metrics",
            "HTTP/1.1 200",
            "grpc Stats { open: 0, admitted: 0, refused: 0, evicted: 0 }\n",
        ),
        ("/healthz", "HTTP/1.1 200", "alive\n"),
        ("/readyz", "HTTP/1.1 200", "ready\n"),
        ("/nothing", "HTTP/1.1 404", ""),
    ] {
        let answer = exchange(server.admin(), &get(path)).await;
        assert!(
            answer.starts_with(status) && answer.ends_with(&format!("\r\n\r\n{body}")),
            "{path}: {answer}"
        );
    }
}

/// Returns the value of a series, which must exist.
fn series(page: &str, name: &str, protocol: &str, rest: &str) -> u64 {
    let head = format!("kvrpc_{name}_total{{protocol=\"{protocol}\",");
    let mut lines = page.lines().filter(|line| line.starts_with(&head) && line.contains(rest));
    let line = lines.next().unwrap_or_else(|| panic!("no {head}..{rest} in:\n{page}"));
    assert_eq!(lines.next(), None);
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn requests_at_every_listener_are_counted() {
    let listeners = ["text", "chat", "encode", "clock"];
    let open = |builder: crate::harness::Builder, protocol| {
        builder.flag("--compat", format!("{protocol}=127.0.0.1:0"))
    };
    let server = listeners.into_iter().fold(Server::builder(), open).start().await;
    for (protocol, bytes) in [
        ("text", &b"put a b get a\nget none\nnonsense\nauth adam wrong\n"[..]),
        ("chat", b"anuran\nhello\nhello again\n"),
        ("encode", b"\0\0\0\x04comm"),
    ] {
        let mut stream = connect(server.addresses.of(protocol).unwrap()).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        read_all(&mut stream).await;
    }
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"SEND_TIME", server.addresses.of("clock").unwrap()).await.unwrap();
    within("the time", socket.recv(&mut [0; 64])).await.unwrap();
    let page = exchange(server.admin(), &get("/metrics")).await;
    for (name, protocol, rest, count) in [
        ("calls", "text", "method=\"Put\"", 1),
        ("calls", "text", "method=\"Get\"", 2),
        ("calls", "text", "method=\"Auth\"", 1),
        ("errors", "text", "method=\"Get\",reason=\"KEY_NOT_FOUND\"", 1),
        ("errors", "text", "method=\"Auth\",reason=\"BAD_CREDENTIALS\"", 1),
        ("calls", "chat", "method=\"SignIn\"", 1),
        ("calls", "chat", "method=\"Send\"", 2),
        ("calls", "encode", "method=\"Encode\"", 1),
        ("calls", "clock", "method=\"Now\"", 1),
        ("calls", "grpc", "method=\"Put\"", 0),
    ] {
        assert_eq!(series(&page, name, protocol, rest), count, "{name} {protocol} {rest}");
    }
    assert!(page.contains("kvrpc_call_duration_seconds_count{protocol=\"text\""), "{page}");
}
