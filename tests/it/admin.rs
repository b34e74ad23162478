//! The admin pages.

use crate::harness::{Server, exchange, probe};

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: kvrpc\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn pages_tell_what_they_are_for() {
    let (_, parts) = probe();
    let server = Server::builder().start_with(parts).await;
    for (path, status, body) in [
        ("/metrics", "HTTP/1.1 200", "grpc Stats { open: 0, admitted: 0, refused: 0, evicted: 0 }\n"),
        ("/healthz", "HTTP/1.1 200", "alive\n"),
        ("/readyz", "HTTP/1.1 200", "ready\n"),
        ("/nothing", "HTTP/1.1 404", ""),
    ] {
        let answer = exchange(server.admin(), &get(path)).await;
        assert!(answer.starts_with(status) && answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
    }
}
