//! Messages in pieces, as cut by the network or a client: the answer does not depend on the cuts.

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kvrpc::model::Method;
use kvrpc::pb::v1;
use prost::Message;

use super::people::sign_in;
use super::raw::Raw;
use crate::harness::{Server, connect, within};

/// Returns a message with its prefix (gRPC over HTTP/2, Length-Prefixed-Message).
fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

/// Sends a body in these pieces; returns the answer's bytes and its `grpc-status`.
async fn send(
    server: &Server,
    authorization: &str,
    method: Method,
    pieces: Vec<Bytes>,
) -> (Bytes, String) {
    let io = TokioIo::new(connect(server.grpc()).await);
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(driver);
    let pieces = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let request = http::Request::post(format!("http://{}{}", server.grpc(), method.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", authorization)
        .body(StreamBody::new(stream::iter(pieces)))
        .unwrap();
    let response = within("the server answers", sender.send_request(request)).await.unwrap();
    let headers = response.headers().clone();
    let body = within("the answer ends", response.into_body().collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or_else(|| headers.get("grpc-status")).unwrap();
    (body.to_bytes(), status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn how_a_message_is_cut_makes_no_difference() {
    let server = Server::start().await;
    let guest = sign_in(&Raw::new(server.channel()), "guest").await;
    let authorization = guest.authorization.unwrap();
    let data = Some(v1::put_request::Data::Value("Kolkata".to_owned()));
    let put = framed(&v1::PutRequest { key: "city".to_owned(), data, ..Default::default() });
    let get = framed(&v1::GetRequest { key: "city".to_owned() });
    assert_eq!(send(&server, &authorization, Method::Put, vec![put]).await.1, "0");
    let whole = send(&server, &authorization, Method::Get, vec![get.clone()]).await;
    let found = v1::GetResponse::decode(whole.0.slice(5..)).unwrap();
    assert_eq!(found.data, Some(v1::get_response::Data::Value("Kolkata".to_owned())));

    let empty = Bytes::new();
    for (cut, pieces) in [
        ("an empty frame behind", vec![get.clone(), empty.clone()]),
        ("an empty frame before", vec![empty.clone(), get.clone()]),
        ("empty frames behind", vec![get.clone(), empty.clone(), empty]),
        ("in the prefix", vec![get.slice(..2), get.slice(2..)]),
        ("behind the prefix", vec![get.slice(..5), get.slice(5..)]),
        ("byte by byte", get.chunks(1).map(Bytes::copy_from_slice).collect()),
    ] {
        assert_eq!(send(&server, &authorization, Method::Get, pieces).await, whole, "{cut}");
    }
    for (wrong, pieces) in [
        ("nothing", vec![]),
        ("half a prefix", vec![get.slice(..3)]),
        ("a byte too few", vec![get.slice(..get.len() - 1)]),
        ("compressed, as it says", vec![Bytes::from([&[1], &get[1..]].concat())]),
    ] {
        let (answer, status) = send(&server, &authorization, Method::Get, pieces).await;
        assert!(answer.is_empty() && status != "0", "{wrong}: {status}");
    }
}
