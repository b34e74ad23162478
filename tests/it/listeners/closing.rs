//! The end of connections: by the client's fault, by silence, with the server.

use std::time::{Duration, Instant};

use kvrpc::listen::Drained;
use kvrpc::model::Reason;
use tokio::io::AsyncWriteExt;

use super::client::{OldClient, get_other, manager, server};
use crate::chat::members;
use crate::harness::{eventually, exchange, read_all, within};

#[tokio::test]
async fn a_web_pages_request_runs_nothing() {
    let server = server(&["text"], "").await;
    let adam = manager(&server).await;
    let mut other = OldClient::connect(&server, "text").await;
    other.ask("put city Kolkata").await;
    let mut page = OldClient::connect(&server, "text").await;
    page.ask("auth adam bill\n").await;
    let body = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\n\r\nmanage {} put city Gone\r\n",
        other.port()
    );
    page.send(&body).await;
    assert_eq!(read_all(&mut page.0).await, b"");
    assert_eq!(other.ask("get city").await, "Kolkata");
    let gone = get_other(&adam, &page.port().to_string(), "city").await.unwrap_err();
    assert_eq!(gone.reason, Some(Reason::UserNotFound));
}

#[tokio::test]
async fn a_web_pages_request_is_no_member_of_the_room() {
    let server = server(&["chat"], "").await;
    let mut member = OldClient::connect(&server, "chat").await;
    member.send("anuran\n").await;
    let adam = manager(&server).await;
    eventually("anuran is a member", || async {
        members(&adam, "lobby").await.is_ok_and(|all| !all.is_empty())
    })
    .await;
    for opening in
        ["POST / HTTP/1.1\r\nhost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut page = OldClient::connect(&server, "chat").await;
        page.send(format!("{opening}I speak for you\r\n")).await;
        assert_eq!(read_all(&mut page.0).await, b"", "{opening}");
    }
    let mut other = OldClient::connect(&server, "chat").await;
    other.send("amartya\n").await;
    assert_eq!(
        member.receive().await,
        b"amartya has joined the chat.\n",
        "the first that it hears of anyone"
    );
    // In the room, this line is an ordinary message.
    other.send("GET / HTTP/1.1\n").await;
    assert_eq!(member.receive().await, b"amartya: GET / HTTP/1.1\n");
}

#[tokio::test]
async fn what_is_too_long_is_answered_and_closed_and_the_answer_is_not_lost() {
    let server = server(&["encode", "text", "pickle"], "").await;
    // More than the system's buffers hold: closing at once would reset the connection while the
    // client still sends.
    let flood = vec![b'x'; 16 << 20];
    let framed = [&(200_u32 << 10).to_be_bytes()[..], &flood].concat();
    for (dialect, bytes, wanted) in [
        ("encode", &framed, "error: the message is over 64 KiB"),
        ("text", &flood, "Error: the message is over 64 KiB"),
        ("pickle", &flood, "Illegal request"),
    ] {
        let mut client = OldClient::connect(&server, dialect).await;
        client.send(bytes).await;
        let all = read_all(&mut client.0).await;
        assert!(String::from_utf8_lossy(&all).contains(wanted), "{dialect}: {all:?}");
    }
}

#[tokio::test]
async fn text_closes_when_nothing_was_asked_for_too_long_and_others_do_not() {
    let server = server(&["text", "hello"], "[protocols]\ntext-idle = \"300ms\"\n").await;
    let since = Instant::now();
    let mut text = OldClient::connect(&server, "text").await;
    let mut hello = OldClient::connect(&server, "hello").await;
    assert_eq!(text.ask("get city").await, "<blank>");
    assert_eq!(text.receive().await, b"");
    assert!(since.elapsed() >= Duration::from_millis(300));
    assert_eq!(hello.ask("knock knock").await, "Whose there?");
}

#[tokio::test]
async fn requests_in_one_segment_are_answered_in_order_and_the_last_one_at_the_end_of_input() {
    let server = server(&["text"], "").await;
    let mut client = OldClient::connect(&server, "text").await;
    client.send("put a 1\nget a\nget a").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client.0).await, b"Successfully set a as 1\n1\n1");
}

#[tokio::test]
async fn a_request_in_pieces_is_one_while_they_come_within_the_pause() {
    let server = server(&["calc"], "").await;
    let mut client = OldClient::connect(&server, "calc").await;
    client.send("anuran\n12 +").await;
    client.send(" 13\n").await;
    assert_eq!(client.receive().await, b"25.0\n");
}

#[tokio::test]
async fn the_server_stops_with_clients_connected() {
    let mut server = server(&["text", "ws-text"], "grace = \"15s\"\n").await;
    let mut idle = OldClient::connect(&server, "text").await;
    assert_eq!(idle.ask("get a").await, "<blank>");
    let unshaken = OldClient::connect(&server, "ws-text").await;
    let metrics = exchange(
        server.admin(),
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(metrics.contains("kvrpc_connections{protocol=\"text\"} 1"), "{metrics}");
    let since = Instant::now();
    server.begin_drain();
    assert_eq!(idle.receive().await, b"");
    drop(idle);
    assert_eq!(within("it stops", server.drain()).await, Drained::Clean);
    assert!(since.elapsed() < Duration::from_secs(10));
    drop(unshaken);
}
