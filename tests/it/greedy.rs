//! Clients that take more than their share of memory or time, and web pages that drive a visitor's
//! browser.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use kvrpc::model::Method;
use kvrpc::pb::v1;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::grpc::people::sign_in;
use crate::grpc::raw::Raw;
use crate::harness::{Server, connect, eventually, exchange, http2_full, read_all, within};

async fn server(listeners: &[&str]) -> Server {
    let open = |builder: crate::harness::Builder, protocol: &&str| {
        builder.flag("--compat", format!("{protocol}=127.0.0.1:0"))
    };
    listeners.iter().fold(Server::builder(), open).start().await
}

async fn metrics(server: &Server) -> String {
    exchange(
        server.admin(),
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await
}

async fn connections(server: &Server, protocol: &str) -> usize {
    let page = metrics(server).await;
    let head = format!("kvrpc_connections{{protocol=\"{protocol}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&head)).unwrap().parse().unwrap()
}

async fn calls(server: &Server, protocol: &str, method: &str) -> usize {
    let page = metrics(server).await;
    let wanted = [format!("protocol=\"{protocol}\""), format!("method=\"{method}\"")];
    let line = page.lines().find(|line| {
        line.starts_with("kvrpc_calls_total") && wanted.iter().all(|wanted| line.contains(wanted))
    });
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn speak(address: std::net::SocketAddr, words: &[u8]) -> tokio::net::TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(words).await.unwrap();
    stream
}

/// Reads `all` bytes.
async fn take(stream: &mut tokio::net::TcpStream, all: usize) {
    let (mut length, mut part) = (0, vec![0; 64 << 10]);
    while length < all {
        let read = within("more of the reply", stream.read(&mut part)).await.unwrap();
        assert!(read > 0, "closed after {length} bytes");
        length += read;
    }
}

/// Time after which the server closes a connection that takes nothing of its reply.
const SILENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn replies_that_nobody_reads_have_a_limit_together() {
    let server = server(&["encode"]).await;
    let address = server.addresses.of("encode").unwrap();
    // Replies of 590 kB, 160 of them: more than the limit of 64 MiB, of which clients that do not
    // read may use half.
    let words = [&65_536_u32.to_be_bytes()[..], &[b'a'; 65_536]].concat();
    let (mut deaf, mut opened) = (Vec::new(), Vec::new());
    // On a busy machine so many replies may take longer than the silence that is allowed. Then more
    // follow, until few of those that have not been silent for so long are left.
    let (mut open, mut lately) = (0, 0);
    while deaf.len() < 160 || open > 60 || lately < 90 {
        assert!(deaf.len() < 640, "{open} are open, of {lately} that were not silent for long");
        opened.push(Instant::now());
        let stream = speak(address, &words).await;
        within("the first bytes of the reply", stream.readable()).await.unwrap();
        deaf.push(stream);
        open = connections(&server, "encode").await;
        lately = opened.iter().filter(|opened| opened.elapsed() < SILENCE).count();
    }
    // A new client waits for less than all of them, and gets its whole reply.
    let mut last = speak(address, &words).await;
    take(&mut last, 4 + 65_536 * 9 - 1).await;
}

#[tokio::test]
async fn a_text_client_that_reads_nothing_has_no_more_made() {
    let server = server(&["text"]).await;
    let address = server.addresses.of("text").unwrap();
    let words = format!("put b {}\n{}\n", "b".repeat(60_000), "get b ".repeat(69));
    let mut deaf = Vec::new();
    for _ in 0..48 {
        deaf.push(speak(address, words.as_bytes()).await);
    }
    let mut last = speak(address, words.as_bytes()).await;
    take(&mut last, 69 * 60_000).await;
    let made = calls(&server, "text", "Get").await;
    assert!(made < 69 + 48 * 69 / 2, "{made} values were made ready for clients that read none");
    assert_eq!(connections(&server, "text").await, 49, "nobody has to go for it");
    // A client that begins to read gets its whole reply.
    take(&mut deaf[0], 69 * 60_000).await;
    let mut new = speak(address, b"put a b get a\n").await;
    let mut answer = [0; 25];
    within("an answer", new.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"Successfully set a as b\nb");
}

#[tokio::test]
async fn a_client_that_reads_no_responses_has_no_more_made() {
    let server = server(&[]).await;
    let me = sign_in(&Raw::new(server.channel()), "anuran").await;
    let value = v1::put_request::Data::Value("b".repeat(1 << 20));
    let put =
        v1::PutRequest { key: "b".to_owned(), data: Some(value), ..v1::PutRequest::default() };
    me.call::<_, v1::PutResponse>(Method::Put.path(), &put).await.unwrap();
    let message = v1::GetRequest { key: "b".to_owned() }.encode_to_vec();
    let framed =
        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let get = || {
        http::Request::post(format!("http://{}{}", server.grpc(), Method::Get.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", me.authorization.clone().unwrap())
            .body(Full::new(Bytes::from(framed.clone())))
            .unwrap()
    };
    let (mut sender, _driver) = http2_full(connect(server.grpc()).await).await;
    let mut asked = Vec::new();
    for _ in 0..100 {
        within("room for a request", sender.ready()).await.unwrap();
        asked.push(sender.send_request(get()));
    }
    let gets = || calls(&server, "grpc", "Get");
    eventually("some are answered", || async { gets().await >= 3 }).await;
    let got: v1::GetResponse =
        me.call(Method::Get.path(), &v1::GetRequest { key: "b".to_owned() }).await.unwrap();
    assert!(got.data.is_some(), "others are answered");
    // The bytes in the client's windows, and a few in the server's budget.
    let made = gets().await;
    assert!(made < 30, "{made} responses of 1 MiB were made for a client that reads none");
    for response in asked {
        let body = within("the response", response).await.unwrap().into_body();
        let body = within("its body", body.collect()).await.unwrap().to_bytes();
        assert!(body.len() > 1 << 20, "{}", body.len());
    }
}

#[tokio::test]
async fn who_works_without_a_pause_does_not_keep_others_waiting() {
    let server = server(&["hello"]).await;
    let address = server.addresses.of("hello").unwrap();
    let mut busy = Vec::new();
    for _ in 0..16 {
        let (mut reader, mut writer) = connect(address).await.into_split();
        busy.push(tokio::spawn(async move {
            while writer.write_all(&b"x\n".repeat(4_096)).await.is_ok() {}
        }));
        busy.push(tokio::spawn(async move {
            let mut part = vec![0; 64 << 10];
            while reader.read(&mut part).await.is_ok_and(|read| read > 0) {}
        }));
    }
    let mut calm = connect(address).await;
    let mut answer = [0; 13];
    for _ in 0..20 {
        calm.write_all(b"knock\n").await.unwrap();
        within("an answer between the others'", calm.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"Whose there?\n");
    }
    for task in busy {
        task.abort();
    }
}

#[tokio::test]
async fn a_web_page_gets_no_user_and_says_nothing_in_the_room() {
    let server = server(&["pickle", "chat", "calc"]).await;
    let page = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\nhello\n";
    for protocol in ["pickle", "chat", "calc"] {
        let mut stream = connect(server.addresses.of(protocol).unwrap()).await;
        stream.write_all(page).await.unwrap();
        assert_eq!(read_all(&mut stream).await, b"", "{protocol}");
    }
    let metrics = metrics(&server).await;
    assert!(
        !metrics.contains("calls_total{protocol=\"chat\"")
            && !metrics.contains("calls_total{protocol=\"pickle\""),
        "{metrics}"
    );
}
