//! gRPC-Web: only for browsers of the allowed origins.

use base64::Engine as _;
use kvrpc::model::Method;
use kvrpc::pb::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::people::sign_in;
use super::raw::Raw;
use crate::harness::{Server, connect, exchange, within};

/// A gRPC-Web message of no bytes: flags, and a length of four bytes.
const EMPTY: &[u8] = &[0; 5];

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: kvrpc\r\nconnection: close\r\ncontent-length: {}\r\n\
         {headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[tokio::test]
async fn a_browser_of_an_allowed_origin_calls_and_any_other_does_not() {
    let server = Server::builder().flag("--allow-origin", "https://app.example").start().await;
    let now = Method::Now.path();
    let kind = "content-type: application/grpc-web+proto\r\n";

    let allowed = exchange(
        server.grpc(),
        &post(now, &format!("{kind}origin: https://app.example\r\n"), EMPTY),
    )
    .await;
    assert!(allowed.starts_with("HTTP/1.1 200"), "{allowed}");
    assert!(allowed.contains("access-control-allow-origin: https://app.example"), "{allowed}");
    assert!(allowed.contains("grpc-status:0"), "{allowed}");

    let foreign = exchange(
        server.grpc(),
        &post(now, &format!("{kind}origin: https://evil.example\r\n"), EMPTY),
    )
    .await;
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");

    let preflight = format!(
        "OPTIONS {now} HTTP/1.1\r\nhost: kvrpc\r\nconnection: close\r\n\
         origin: https://app.example\r\n\
         access-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type\r\n\r\n"
    );
    let preflight = exchange(server.grpc(), preflight.as_bytes()).await;
    assert!(
        preflight.starts_with("HTTP/1.1 200") && preflight.contains("authorization"),
        "{preflight}"
    );

    let text = base64::engine::general_purpose::STANDARD.encode(EMPTY);
    let text = post(now, "content-type: application/grpc-web-text\r\n", text.as_bytes());
    let without_origin = exchange(server.grpc(), &text).await;
    assert!(without_origin.starts_with("HTTP/1.1 200"), "{without_origin}");
}

#[tokio::test]
async fn an_error_reaches_the_browser_with_its_reason() {
    let server = Server::start().await;
    let request = post(Method::Get.path(), "content-type: application/grpc-web\r\n", EMPTY);
    let answer = exchange(server.grpc(), &request).await;
    assert!(answer.contains("grpc-status: 16") || answer.contains("grpc-status:16"), "{answer}");
}

#[tokio::test]
async fn whoever_comes_by_mistake_is_told_what_is_spoken_here() {
    let server = Server::start().await;
    let page =
        exchange(server.grpc(), b"GET / HTTP/1.1\r\nhost: kvrpc\r\nconnection: close\r\n\r\n")
            .await;
    assert!(page.starts_with("HTTP/1.1 404") && page.contains("grpcurl"), "{page}");
}

/// Browsers have no request streams; they chat by Subscribe and Send.
#[tokio::test]
async fn a_browser_hears_what_is_said_in_a_room() {
    let server = Server::builder().flag("--allow-origin", "https://app.example").start().await;
    let nobody = Raw::new(server.channel());
    let (page, other) = (sign_in(&nobody, "page").await, sign_in(&nobody, "other").await);
    let say = async |text: &str| {
        let said = v1::SendRequest { text: text.to_owned(), ..Default::default() };
        other.call::<_, v1::SendResponse>(Method::Send.path(), &said).await.unwrap();
    };
    say("is anybody here?").await;
    let headers = format!(
        "content-type: application/grpc-web+proto\r\norigin: https://app.example\r\n\
         authorization: {}\r\n",
        page.authorization.unwrap()
    );
    let mut stream = connect(server.grpc()).await;
    stream.write_all(&post(Method::Subscribe.path(), &headers, EMPTY)).await.unwrap();
    let mut heard = Vec::new();
    read_until(&mut stream, &mut heard, "is anybody here?").await;
    say("hello, browser").await;
    read_until(&mut stream, &mut heard, "hello, browser").await;
}

async fn read_until(stream: &mut TcpStream, heard: &mut Vec<u8>, word: &str) {
    while !String::from_utf8_lossy(heard).contains(word) {
        let read = within("the stream goes on", stream.read_buf(heard)).await.unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(heard));
    }
}
