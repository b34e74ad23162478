//! The protocols on WebSockets, and the handshake before them.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client::{get_other, manager, pickled, protocol, server, unpickled, value};
use crate::harness::{Server, connect, eventually, within};

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn open(
    server: &Server,
    dialect: &str,
    origin: Option<&str>,
) -> Result<Socket, Error> {
    let address = protocol(server, dialect);
    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    within("the handshake", client_async(request, connect(address).await))
        .await
        .map(|(socket, _)| socket)
}

pub(crate) async fn ask(socket: &mut Socket, message: impl Into<Message>) -> Message {
    socket.send(message.into()).await.unwrap();
    within("an answer", socket.next()).await.unwrap().unwrap()
}

async fn name(server: &Server, name: &str) -> Socket {
    let mut socket = open(server, "ws-text", None).await.unwrap();
    assert_eq!(ask(&mut socket, name).await, "success".into());
    socket
}

#[tokio::test]
async fn ws_text() {
    let server = server(&["ws-text"], "upgrade-policy = \"open\"\n").await;
    let mut other = name(&server, "amartya2").await;
    assert_eq!(ask(&mut other, "put x y").await, "done".into());
    let mut socket = open(&server, "ws-text", None).await.unwrap();
    for (request, reply) in [
        ("Amartya2", "duplicate user name"),
        ("5", "invalid user name"),
        ("amartya1", "success"),
        ("put a b", "done"),
        ("get a", "b"),
        ("get c", "key not found"),
        ("get amartya1 a", "b"),
    ] {
        assert_eq!(ask(&mut socket, request).await, reply.into(), "{request}");
    }
    let denied =
        Message::Binary(Bytes::from_static(b"you are not allowed to access keys of other users"));
    assert_eq!(ask(&mut socket, "get amartya2 x").await, denied);
    for (request, reply) in [
        ("upgrade", "upgraded to manager"),
        ("upgrade now", "already a manager"),
        ("get amartya2 x", "y"),
        ("get nobody x", "user not found"),
        ("put a", "wrong message format"),
        ("", "wrong message format"),
        ("q", "exiting"),
    ] {
        assert_eq!(ask(&mut socket, request).await, reply.into(), "{request}");
    }
    assert!(matches!(within("a close", socket.next()).await, Some(Ok(Message::Close(_)))));
    // A manager over gRPC sees the user of this connection, and no longer once it has ended.
    let adam = manager(&server).await;
    assert_eq!(value(get_other(&adam, "amartya2", "x").await.unwrap()), "y");
    eventually("amartya1 is gone", || async { get_other(&adam, "amartya1", "a").await.is_err() })
        .await;
}

#[tokio::test]
async fn ws_pickle() {
    let server = server(&["ws-pickle"], "").await;
    let mut socket = open(&server, "ws-pickle", None).await.unwrap();
    socket.send("rwitick".into()).await.unwrap();
    let requests: &[&[(&str, &str)]] =
        &[&[("method", "put"), ("key", "a"), ("value", "b")], &[("method", "get"), ("key", "a")]];
    let reply = ask(&mut socket, pickled(requests)).await;
    assert_eq!(unpickled(&reply.into_data()), ["Successful", "b"]);
    let mut nameless = open(&server, "ws-pickle", None).await.unwrap();
    let reply = ask(&mut nameless, pickled(requests)).await;
    assert_eq!(unpickled(&reply.into_data()), ["Invalid username"]);
    assert!(matches!(within("a close", nameless.next()).await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn pages_need_their_origin_allowed() {
    let server = server(&["ws-text"], "allow-origin = [\"https://app.example\"]\n").await;
    for (origin, served) in
        [(None, true), (Some("https://app.example"), true), (Some("https://evil.example"), false)]
    {
        match open(&server, "ws-text", origin).await {
            Ok(_) => assert!(served, "{origin:?}"),
            Err(Error::Http(response)) => {
                assert!(!served && response.status() == 403, "{origin:?} {response:?}")
            }
            Err(error) => panic!("{origin:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_oversized_message_is_answered_and_closed() {
    let server = server(&["ws-text"], "").await;
    let mut socket = name(&server, "big").await;
    let Message::Text(text) = ask(&mut socket, "x".repeat(100 << 10)).await else {
        panic!("no text")
    };
    assert!(text.starts_with("error: the message is over 64 KiB"), "{text}");
    assert!(matches!(within("a close", socket.next()).await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_closed_when_it_does_not_answer() {
    let server = server(
        &["ws-text"],
        "[limits]\nkeepalive-interval = \"50ms\"\nkeepalive-timeout = \"50ms\"\n",
    )
    .await;
    let mut socket = name(&server, "living").await;
    assert!(matches!(within("a ping", socket.next()).await, Some(Ok(Message::Ping(_)))));
    // Reading has answered the ping: the next message is another ping and not a close.
    assert!(matches!(within("a ping", socket.next()).await, Some(Ok(Message::Ping(_)))));
    // The client no longer reads.
    let adam = manager(&server).await;
    eventually("its name is free", || async {
        get_other(&adam, "living", "a")
            .await
            .is_err_and(|failure| failure.reason == Some(kvrpc::model::Reason::UserNotFound))
    })
    .await;
}
