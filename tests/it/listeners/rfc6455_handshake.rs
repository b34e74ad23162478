//! The opening handshake: RFC 6455, sections 4.2 and 10.2.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::client::{protocol, server};
use super::wire::{ACCEPT, FIN, HEADERS, TEXT, frame, request};
use crate::harness::{connect, exchange, read_all};

const ORIGIN: &str = "https://app.example";

/// Returns the usual headers with one replaced or removed.
fn with(name: &'static str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut headers: Vec<_> = HEADERS.into_iter().filter(|(other, _)| *other != name).collect();
    headers.extend(value.map(|value| (name, value)));
    headers
}

#[tokio::test]
async fn what_opens_no_web_socket_is_told_why() {
    let server = server(&["ws-text", "ws-pickle"], &format!("allow-origin = [{ORIGIN:?}]\n")).await;
    let long = "x".repeat(9 << 10);
    let get = "GET / HTTP/1.1";
    let cases = [
        (
            "4.2.1 no GET",
            request("POST / HTTP/1.1", &HEADERS),
            "405 Method Not Allowed",
            "allow: GET",
        ),
        (
            "4.2.1 HTTP/1.0",
            request("GET / HTTP/1.0", &HEADERS),
            "505 HTTP Version Not Supported",
            "",
        ),
        ("4.2.1 no host", request(get, &with("Host", None)), "400 Bad Request", "a Host header"),
        (
            "4.2.1 a browser",
            request(get, &HEADERS[..1]),
            "426 Upgrade Required",
            "connection: upgrade, close\r\n",
        ),
        (
            "4.2.1 another upgrade",
            request(get, &with("Upgrade", Some("h2c"))),
            "426 Upgrade Required",
            "ws://",
        ),
        (
            "4.2.1 no upgrade",
            request(get, &with("Connection", Some("close"))),
            "426 Upgrade Required",
            "ws://",
        ),
        (
            "4.2.1 no key",
            request(get, &with("Sec-WebSocket-Key", None)),
            "400 Bad Request",
            "Sec-WebSocket-Key",
        ),
        (
            "4.2.1 a short key",
            request(get, &with("Sec-WebSocket-Key", Some("AAAA"))),
            "400 Bad Request",
            "16 bytes",
        ),
        (
            "4.4 no version",
            request(get, &with("Sec-WebSocket-Version", None)),
            "426 Upgrade Required",
            "version: 13",
        ),
        (
            "4.4 another version",
            request(get, &with("Sec-WebSocket-Version", Some("8"))),
            "426 Upgrade Required",
            "sec-websocket-version: 13",
        ),
        (
            "10.2 another origin",
            request(get, &with("Origin", Some("https://evil.example"))),
            "403 Forbidden",
            "--allow-origin",
        ),
        (
            "10.2 two origins",
            request(get, &[&with("Origin", Some(ORIGIN))[..], &[("Origin", "null")]].concat()),
            "403 Forbidden",
            "--allow-origin",
        ),
        (
            "another host",
            request(get, &with("Host", Some("evil.example"))),
            "403 Forbidden",
            "--allow-host",
        ),
        ("no HTTP", "get city\n".to_owned(), "400 Bad Request", ""),
        ("more than a request", request(&format!("GET /{long} HTTP/1.1"), &HEADERS), "4", ""),
        (
            "more than headers",
            request(get, &with("Cookie", Some(long.leak()))),
            "431 Request Header Fields Too",
            "",
        ),
    ];
    for (name, request, status, part) in &cases {
        for dialect in ["ws-text", "ws-pickle"] {
            let answer = exchange(protocol(&server, dialect), request.as_bytes()).await;
            let line = format!("HTTP/1.1 {status}");
            // hyper answers an HTTP/1.0 request in that version.
            let line =
                if name.ends_with("1.0") { line.replace("HTTP/1.1", "HTTP/1.0") } else { line };
            assert!(answer.starts_with(&line) && answer.contains(part), "{name}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_opens_one() {
    let server = server(&["ws-text"], &format!("allow-origin = [{ORIGIN:?}]\n")).await;
    let get = "GET /any/path?at=all HTTP/1.1";
    let lower: Vec<_> = HEADERS.map(|(name, value)| (name.to_lowercase(), value)).into();
    let lower: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let asks =
        [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "permessage-deflate")];
    for (name, headers) in [
        ("as it should be", HEADERS.to_vec()),
        ("names in lower case", lower),
        ("several connection options", with("Connection", Some("keep-alive, upgrade"))),
        ("another case", with("Upgrade", Some("WebSocket"))),
        ("a page that is allowed", with("Origin", Some(ORIGIN))),
        ("what is not spoken here is not promised", [&HEADERS[..], &asks].concat()),
    ] {
        let mut stream = connect(protocol(&server, "ws-text")).await;
        let request = request(get, &headers);
        let (start, end) = request.split_at(30);
        stream.write_all(start.as_bytes()).await.unwrap();
        // The first frame in the same segment as the end of the request.
        let first = [end.as_bytes(), &frame(FIN | TEXT, b"5"), &frame(FIN | 8, b"")].concat();
        stream.write_all(&first).await.unwrap();
        let answer = read_all(&mut stream).await;
        let (head, frames) =
            answer.split_at(answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4);
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        let accept = format!("sec-websocket-accept: {}\r\n", ACCEPT.to_lowercase());
        assert!(head.starts_with("http/1.1 101 ") && head.contains(&accept), "{name}: {head}");
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{name}: {head}"
        );
        assert!(!head.contains("protocol:") && !head.contains("extensions:"), "{name}: {head}");
        assert_eq!(frames, b"\x81\x11invalid user name\x88\x00", "{name}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_closed() {
    let server = server(&["ws-text"], "[limits]\nhandshake = \"300ms\"\n").await;
    for start in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let since = Instant::now();
        let mut stream = connect(protocol(&server, "ws-text")).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, b"", "{start}");
        assert!(since.elapsed() >= Duration::from_millis(300), "{start}");
    }
}
