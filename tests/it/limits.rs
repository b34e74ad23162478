//! Limits of every connection: deadlines, caps, and an end for every kind of garbage.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Server, connect, eventually, exchange, http2, probe, read_all, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn get(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::get(format!("http://localhost{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn who_says_nothing_in_time_is_closed() {
    let limits = "[limits]\nfirst-bytes = '100ms'\nhandshake = '100ms'";
    let (_, parts) = probe();
    let server = Server::builder().toml(limits).start_with(parts).await;
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("half a preface", &PREFACE[..10]),
        ("half an HTTP/1 header", b"GET /who HTTP/1.1\r\nhost: x"),
    ] {
        let mut stream = connect(server.grpc()).await;
        stream.write_all(bytes).await.unwrap();
        let since = Instant::now();
        assert_eq!(read_all(&mut stream).await, b"", "{name}");
        assert!(
            since.elapsed() >= Duration::from_millis(90),
            "{name}: closed after {:?}",
            since.elapsed()
        );
    }
}

#[tokio::test]
async fn garbage_is_answered_and_closed() {
    let (_, parts) = probe();
    let server = Server::builder().start_with(parts).await;
    let long = [b"GET /", &[b'a'; 100_000][..], b" HTTP/1.1\r\n\r\n"].concat();
    let headers = [b"GET /who HTTP/1.1\r\nx: ", &[b'a'; 20_000][..], b"\r\n\r\n"].concat();
    for (name, bytes, wanted) in [
        ("bytes", &b"\0\x01\x02\x03\r\n\r\n"[..], "HTTP/1.1 400 "),
        ("a chat command", b"put city Kolkata\n", "HTTP/1.1 400 "),
        ("a preface that goes wrong late", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", "HTTP/1.1 "),
        ("a header too long", &headers, "HTTP/1.1 431 "),
        ("a path too long", &long, "HTTP/1.1 4"),
        ("HTTP/2 that is none after the preface", &[PREFACE, &[0xff; 64]].concat(), "\0\0"),
    ] {
        let answer = exchange(server.grpc(), bytes).await;
        assert!(answer.starts_with(wanted), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_full_listener_sends_the_longest_silent_away_and_nobody_who_spoke() {
    let (_, parts) = probe();
    let server = Server::builder()
        .toml("[limits]\nconnections = 2\nfirst-bytes = '1h'")
        .start_with(parts)
        .await;
    let (mut spoke, _driver) = http2(connect(server.grpc()).await).await;
    assert!(
        within("an answer", spoke.send_request(get("/who"))).await.unwrap().status().is_success()
    );

    let mut silent = connect(server.grpc()).await;
    let (mut newcomer, _second_driver) = http2(connect(server.grpc()).await).await;
    assert!(
        within("an answer", newcomer.send_request(get("/who")))
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert_eq!(read_all(&mut silent).await, b"", "the silent one makes room");

    // All connections are active now: the next is refused, and the admitted ones are still served.
    assert_eq!(exchange(server.grpc(), b"").await, "");
    for sender in [&mut spoke, &mut newcomer] {
        assert!(
            within("an answer", sender.send_request(get("/who")))
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    drop(spoke);
    eventually("a place that was given back is free", || async {
        let mut stream = connect(server.grpc()).await;
        let request = b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.is_ok()
            && read_all(&mut stream).await.starts_with(b"HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_then_its_streams_are_then_it_is_cut() {
    let (probe, parts) = probe();
    let limits = "[limits]\nconnection-age = '50ms'\nclosing-notice = '50ms'";
    // Streams that go on are cut after the grace period, or a second if that is shorter.
    let builder = Server::builder().flag("--grace", "0s").toml(limits);
    let server = builder.start_with(parts).await;
    let (mut sender, driver) = http2(connect(server.grpc()).await).await;
    let told = sender.send_request(get("/until-closing"));
    let stuck = sender.send_request(get("/stuck"));
    let answer = within("the stream is told", told)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(answer, "told to end");
    assert!(within("the stuck stream is cut", stuck).await.is_err());
    let _ = within("the connection ends", driver).await.unwrap();
    probe.arrived(2).await;

    let (mut sender, driver) = http2(connect(server.grpc()).await).await;
    assert!(
        within("an answer", sender.send_request(get("/who"))).await.unwrap().status().is_success()
    );
    within("an old idle connection ends by itself", driver).await.unwrap().unwrap();
    assert!(within("no more calls on it", sender.send_request(get("/who"))).await.is_err());
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let (_, parts) = probe();
    let limits = "[limits]\nkeepalive-interval = '50ms'\nkeepalive-timeout = '50ms'";
    let server = Server::builder().toml(limits).start_with(parts).await;
    let mut stream = connect(server.grpc()).await;
    // The preface and empty SETTINGS, and then nothing.
    stream.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.unwrap();
    let all = read_all(&mut stream).await;
    assert!(all.windows(5).any(|frame| frame == [0, 0, 8, 6, 0]), "it was pinged: {all:?}");
}

#[tokio::test]
async fn the_settings_tell_the_limits() {
    let (_, parts) = probe();
    let server = Server::builder()
        .toml("[limits]\nstreams = 7\nheader-bytes = '4KiB'")
        .start_with(parts)
        .await;
    let mut stream = connect(server.grpc()).await;
    stream.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.unwrap();
    let mut head = [0; 9];
    within("a frame", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS comes first");
    let mut settings = vec![0; usize::from(head[2])];
    within("its settings", stream.read_exact(&mut settings)).await.unwrap();
    for (name, id, value) in
        [("MAX_CONCURRENT_STREAMS", 3, 7_u32), ("MAX_HEADER_LIST_SIZE", 6, 4_096)]
    {
        let wanted = [&[0, id], &value.to_be_bytes()[..]].concat();
        assert!(settings.chunks(6).any(|setting| setting == wanted), "{name} in {settings:?}");
    }
}

#[tokio::test]
async fn connections_are_dealt_evenly_to_the_workers() {
    let (probe, parts) = probe();
    let server = Server::builder().flag("--threads", 3).start_with(parts).await;
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..9 {
        streams.push(connect(server.grpc()).await);
    }
    for stream in &mut streams {
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    }
    probe.arrived(9).await;
    assert_eq!(probe.by_thread(), [3, 3, 3]);
    for stream in &mut streams {
        let mut status = [0; 12];
        within("an answer", stream.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}
