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
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
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
        "OPTIONS {now} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
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
async fn a_page_calls_by_no_protocol_from_an_origin_or_host_that_is_not_allowed() {
    let server = Server::builder().flag("--allow-origin", "https://app.example").start().await;
    let now = Method::Now.path();
    for kind in ["application/grpc", "application/grpc-web+proto", "text/plain"] {
        let kind = format!("content-type: {kind}\r\n");
        let origin = format!("{kind}origin: http://evil.example\r\n");
        let foreign = exchange(server.grpc(), &post(now, &origin, EMPTY)).await;
        assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
        assert!(foreign.contains("--allow-origin"), "{foreign}");
        let rebound = String::from_utf8(post(now, &kind, EMPTY)).unwrap();
        let rebound = rebound.replace("host: localhost", "host: evil.example:50051");
        let rebound = exchange(server.grpc(), rebound.as_bytes()).await;
        assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
        assert!(rebound.contains("allowed are IP addresses, localhost"), "{rebound}");
    }
    for (host, origin, word) in [
        ("localhost", "http://evil.example", "--allow-origin"),
        ("evil.example", "https://app.example", "--allow-host"),
    ] {
        let page = format!(
            "GET /metrics HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: close\r\n\r\n"
        );
        let page = exchange(server.admin(), page.as_bytes()).await;
        assert!(page.starts_with("HTTP/1.1 403") && page.contains(word), "{page}");
    }
}

/// Calls a server by HTTP/2, as native gRPC; gives the status and its message.
async fn native(server: &Server, authority: &str, origin: Option<&str>) -> String {
    let stream = connect(server.grpc()).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{authority}{}", Method::Now.path()))
        .header("content-type", "application/grpc");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let body = http_body_util::Full::new(bytes::Bytes::from_static(EMPTY));
    let answer = within("an answer", sender.send_request(request.body(body).unwrap())).await;
    let (head, body) = answer.unwrap().into_parts();
    let trailers = within("the body", http_body_util::BodyExt::collect(body)).await.unwrap();
    let status = head.headers.get("grpc-status").cloned();
    let status = status.or_else(|| trailers.trailers()?.get("grpc-status").cloned()).unwrap();
    let message = head.headers.get("grpc-message").map_or("", |text| text.to_str().unwrap());
    format!("{} {message}", status.to_str().unwrap())
}

#[tokio::test]
async fn the_rule_for_pages_holds_for_native_grpc() {
    let server = Server::builder()
        .flag("--allow-origin", "https://app.example")
        .flag("--allow-host", "kvrpc.example")
        .start()
        .await;
    let foreign = native(&server, "localhost", Some("http://evil.example")).await;
    assert!(foreign.starts_with("7 ") && foreign.contains("--allow-origin"), "{foreign}");
    let rebound = native(&server, "evil.example", None).await;
    assert!(rebound.starts_with("7 ") && rebound.contains("--allow-host"), "{rebound}");
    for (authority, origin) in [
        ("localhost", None),
        ("127.0.0.1:50051", None),
        ("kvrpc.example", None),
        ("localhost", Some("https://app.example")),
    ] {
        assert_eq!(native(&server, authority, origin).await, "0 ", "{authority} {origin:?}");
    }
}

#[tokio::test]
async fn native_grpc_is_refused_over_http_1_and_in_another_format() {
    let server = Server::start().await;
    for (kind, status, sentence) in [
        ("application/grpc", "505", "application/grpc is spoken over HTTP/2 alone"),
        ("Application/gRPC; x=y", "505", "application/grpc is spoken over HTTP/2 alone"),
        ("application/grpc+json", "415", "application/grpc or application/grpc+proto"),
    ] {
        let kind = format!("content-type: {kind}\r\n");
        let answer = exchange(server.grpc(), &post(Method::Now.path(), &kind, EMPTY)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains(sentence), "{answer}");
    }
}

#[tokio::test]
async fn a_content_type_is_read_in_any_case_and_with_parameters() {
    let server = Server::start().await;
    for kind in ["Application/gRPC-Web+Proto", "application/grpc-web+proto; charset=utf-8"] {
        let kind = format!("content-type: {kind}\r\n");
        let answer = exchange(server.grpc(), &post(Method::Now.path(), &kind, EMPTY)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("grpc-status:0"), "{answer}");
    }
    let text = base64::engine::general_purpose::STANDARD.encode(EMPTY);
    let kind =
        "content-type: application/grpc-web-text; x=y\r\naccept: Application/gRPC-Web-Text\r\n";
    let answer = exchange(server.grpc(), &post(Method::Now.path(), kind, text.as_bytes())).await;
    assert!(answer.contains("content-type: application/grpc-web-text+proto"), "{answer}");
}

#[tokio::test]
async fn pages_may_send_the_headers_of_tracing_and_those_configured() {
    let server = Server::builder()
        .flag("--allow-origin", "https://app.example")
        .flag("--allow-header", "X-Request-Id")
        .start()
        .await;
    let preflight = format!(
        "OPTIONS {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         origin: https://app.example\r\naccess-control-request-method: POST\r\n\r\n",
        Method::Now.path()
    );
    let answer = exchange(server.grpc(), preflight.as_bytes()).await;
    let line = answer.lines().find(|line| line.starts_with("access-control-allow-headers:"));
    let allowed: Vec<_> = line.unwrap().split([':', ',']).map(str::trim).collect();
    for name in [
        "authorization",
        "traceparent",
        "tracestate",
        "baggage",
        "grpc-trace-bin",
        "b3",
        "x-b3-traceid",
        "x-request-id",
    ] {
        assert!(allowed.contains(&name), "{name}: {answer}");
    }
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
        exchange(server.grpc(), b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
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
