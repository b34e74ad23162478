//! Shutdown: in order and within the grace period, with any clients connected.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use kvrpc::listen::Drained;
use kvrpc::model::Method;
use kvrpc::pb::v1;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::grpc::raw::Raw;
use crate::harness::{Server, ServerProcess, connect, eventually, exchange, http2, probe, within};

fn get(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::get(format!("http://localhost{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn health_says_serving_and_then_not_serving() {
    let mut server = Server::start().await;
    let mut health = HealthClient::new(server.channel());
    let mut statuses =
        within("a stream", health.watch(tonic_health::pb::HealthCheckRequest::default()))
            .await
            .unwrap()
            .into_inner();
    let mut next = async || within("a status", statuses.message()).await.unwrap().unwrap().status();
    let mut status = next().await;
    while status != ServingStatus::Serving {
        status = next().await;
    }
    server.begin_drain();
    assert_eq!(next().await, ServingStatus::NotServing);
}

#[tokio::test]
async fn running_calls_finish_streams_are_told_and_new_ones_find_nobody() {
    let (probe, parts) = probe();
    let server = Server::builder().flag("--grace", "20s").start_with(parts).await;
    let address = server.grpc();
    let (mut sender, _driver) = http2(connect(address).await).await;
    let stream = tokio::spawn(sender.send_request(get("/until-closing")));
    let idle = http2(connect(address).await).await;
    let silent = connect(address).await;
    let mut begun = connect(address).await;
    begun.write_all(b"PRI * ").await.unwrap();
    probe.arrived(1).await;

    let since = Instant::now();
    assert_eq!(server.drain().await, Drained::Clean);
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "clean, and only after {:?}",
        since.elapsed()
    );
    let answer = within("the stream ends", stream)
        .await
        .unwrap()
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(answer.to_bytes(), "told to end");
    assert!(TcpStream::connect(address).await.is_err());
    drop((idle, silent, begun));
}

/// Sends one request after the other until the server ends the connection. Fails if that leaves in
/// doubt which of them were processed.
async fn send_until_closed(stream: TcpStream) {
    let (mut sender, driver) = http2(stream).await;
    while sender.ready().await.is_ok() && sender.send_request(get("/unknown")).await.is_ok() {}
    if let Err(error) = within("the connection ends", driver).await.unwrap() {
        let causes = std::iter::successors(Error::source(&error), |&error| error.source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        // h2's words for a GOAWAY with NO_ERROR.
        assert!(text.contains("not a result of an error"), "{text}");
    }
}

/// A connection that was accepted just before the stop, that waited in the backlog, or whose client
/// was sending, used to be reset, and its client could not tell which calls were processed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_resets_no_connection() {
    const CLIENTS: usize = 50;
    for _ in 0..10 {
        let server = Server::start().await;
        let mut clients = Vec::with_capacity(2 * CLIENTS);
        for _ in 0..CLIENTS {
            clients.push(tokio::spawn(send_until_closed(connect(server.grpc()).await)));
        }
        let late = join_all((0..CLIENTS).map(|_| connect(server.grpc()))).await;
        clients.extend(late.into_iter().map(|stream| tokio::spawn(send_until_closed(stream))));
        assert_eq!(server.drain().await, Drained::Clean);
        for client in clients {
            within("the client ends", client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn stuck_calls_and_deaf_peers_are_cut_after_the_grace_period_and_counted() {
    let (probe, parts) = probe();
    let server = Server::builder().flag("--grace", "300ms").start_with(parts).await;
    let address = server.grpc();
    let (mut sender, _driver) = http2(connect(address).await).await;
    let stuck = tokio::spawn(sender.send_request(get("/stuck")));
    let mut http1 = connect(address).await;
    http1.write_all(b"GET /stuck HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // A peer that reads nothing and answers nothing, not even the PING that precedes the last
    // GOAWAY.
    let mut deaf = connect(address).await;
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    probe.arrived(2).await;
    let metrics = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    eventually("all three are open", || async {
        exchange(server.admin(), metrics).await.contains("open: 3")
    })
    .await;

    let since = Instant::now();
    assert_eq!(server.drain().await, Drained::Forced { left: 3 });
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    assert!(within("the stuck call ends", stuck).await.unwrap().is_err());
}

#[tokio::test]
async fn readiness_is_gone_while_the_rest_of_the_calls_finish() {
    let (probe, parts) = probe();
    let mut server = Server::builder().flag("--grace", "10s").start_with(parts).await;
    let (mut sender, _driver) = http2(connect(server.grpc()).await).await;
    let stuck = tokio::spawn(sender.send_request(get("/stuck")));
    probe.arrived(1).await;
    server.begin_drain();
    let admin = server.admin();
    let page = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes()
    };
    eventually("it says that it is not ready", || async {
        exchange(admin, &page("/readyz")).await.starts_with("HTTP/1.1 503")
    })
    .await;
    assert!(exchange(admin, &page("/healthz")).await.starts_with("HTTP/1.1 200"));
    stuck.abort();
    assert_eq!(server.drain().await, Drained::Clean);
}

#[tokio::test]
async fn a_signal_stops_the_process_and_a_second_one_ends_it_at_once() {
    for (first, second, code) in [
        (Signal::TERM, None, 0),
        (Signal::INT, None, 0),
        (Signal::TERM, Some(Signal::INT), 130),
        (Signal::INT, Some(Signal::TERM), 143),
    ] {
        let mut process = ServerProcess::start(&["--listen", "127.0.0.1:0", "--grace", "1h"]);
        // With such a peer, only a second signal may end the server.
        let mut deaf = connect(process.address("grpc")).await;
        if second.is_some() {
            deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut settings = [0; 9];
            within(
                "the server's settings",
                tokio::io::AsyncReadExt::read_exact(&mut deaf, &mut settings),
            )
            .await
            .unwrap();
        }
        process.signal(first);
        if let Some(second) = second {
            process.wait_for_line("stopping: running calls may finish");
            // Within a second it would count as the first.
            eventually("a second signal ends it", || {
                let ended = process.has_ended();
                if !ended {
                    process.signal(second);
                }
                std::future::ready(ended)
            })
            .await;
        }
        let finished = process.wait();
        assert_eq!(finished.code, Some(code), "{first:?} {second:?}: {finished:?}");
        assert_eq!(finished.stderr.matches("ready: ").count(), 1, "{finished:?}");
    }
}

/// A terminal and a service manager that both sent a signal cut the calls that one alone lets
/// finish.
#[test]
fn a_signal_right_after_the_first_cuts_nothing() {
    let mut process = ServerProcess::start(&["--listen", "127.0.0.1:0", "--grace", "2s"]);
    let mut deaf = std::net::TcpStream::connect(process.address("grpc")).unwrap();
    std::io::Write::write_all(&mut deaf, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    std::io::Read::read_exact(&mut deaf, &mut [0; 9]).unwrap();
    process.signal(Signal::INT);
    process.signal(Signal::TERM);
    process.wait_for_line("a signal so soon after the first changes nothing");
    process.wait_for_line("stopped: connections were cut");
    assert_eq!(process.wait().code, Some(1), "the grace period ended it");
}

/// Load balancers need some time to notice that a server stops, in which its clients were refused.
#[tokio::test]
async fn new_calls_are_taken_during_the_drain_delay() {
    let mut server = Server::builder().flag("--drain-delay", "1s").start().await;
    let old = server.channel();
    let info = async |channel: Channel| {
        let request = v1::GetServerInfoRequest::default();
        let called = Raw::new(channel).call(Method::GetServerInfo.path(), &request).await;
        called.map(|_: v1::GetServerInfoResponse| ())
    };
    info(old.clone()).await.unwrap();
    let mut health = HealthClient::new(server.channel());
    server.begin_drain();
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    eventually("it says that it is not ready", || async {
        exchange(server.admin(), request).await.starts_with("HTTP/1.1 503")
    })
    .await;
    let said = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    assert_eq!(said.into_inner().status(), ServingStatus::NotServing);
    info(old).await.unwrap();
    info(server.channel()).await.unwrap();
    assert_eq!(server.drain().await, Drained::Clean);
}

#[test]
fn calls_that_were_cut_are_an_exit_code() {
    let mut process =
        ServerProcess::start(&["--listen", "127.0.0.1:0", "--grace", "50ms", "--log", "json"]);
    let mut deaf = std::net::TcpStream::connect(process.address("grpc")).unwrap();
    std::io::Write::write_all(&mut deaf, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    std::io::Read::read_exact(&mut deaf, &mut [0; 9]).unwrap();
    process.signal(Signal::TERM);
    process.wait_for_line("stopped: connections were cut");
    assert_eq!(process.wait().code, Some(1));
}

#[test]
fn a_taken_address_is_fatal_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [
        ["--listen", &address, "--admin-listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--admin-listen", &address],
    ] {
        let flag = if arguments[1] == address { "--listen" } else { "--admin-listen" };
        let finished = ServerProcess::run(&arguments, &[], "");
        assert!(
            finished.stderr.contains(&format!("error: {flag} {address}: the address is in use")),
            "{finished:?}"
        );
        assert_eq!(finished.code, Some(1));
        assert!(!finished.stderr.contains("ready"), "{finished:?}");
    }
}
