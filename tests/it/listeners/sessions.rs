//! One session of each protocol, as its contract shows it.

use tokio::net::UdpSocket;

use super::client::{OldClient, pickled, protocol, server, unpickled};
use crate::harness::within;

#[tokio::test]
async fn text() {
    let server = server(&["text"], "").await;
    let mut other = OldClient::connect(&server, "text").await;
    let mut client = OldClient::connect(&server, "text").await;
    let port = other.port();
    assert_eq!(other.ask("put city Kolkata").await, "Successfully set city as Kolkata");
    for (request, reply) in [
        ("get city".to_owned(), "<blank>"),
        ("put city Delhi".to_owned(), "Successfully set city as Delhi"),
        ("get city".to_owned(), "Delhi"),
        ("bad command".to_owned(), "Illegal command"),
        ("put city New Delhi".to_owned(), "Illegal command"),
        (format!("manage {port} get city"), "Access denied"),
        ("auth adam wrong".to_owned(), "Authentication failure"),
        ("auth adam bill".to_owned(), "Authentication success"),
        (format!("manage {port} get city"), "Kolkata"),
        (format!("manage {port} put city Mumbai"), "Successfully set city as Mumbai"),
        (format!("manage {port} get city"), "Mumbai"),
        (format!("manage {port} get country"), "<blank>"),
        ("manage 9 get city".to_owned(), "No such client"),
        ("put a b get a".to_owned(), "Successfully set a as b\nb"),
        ("get city\n".to_owned(), "Delhi\n"),
    ] {
        assert_eq!(client.ask(&request).await, reply, "{request}");
    }
    assert_eq!(other.ask("get city").await, "Mumbai");
}

#[tokio::test]
async fn pickle() {
    let server = server(&["pickle"], "").await;
    let mut client = OldClient::connect(&server, "pickle").await;
    client.send("rwitick").await;
    let all: &[&[(&str, &str)]] = &[
        &[("method", "get"), ("key", "city")],
        &[("method", "PUT"), ("key", "city"), ("value", "Kolkata")],
        &[("method", "get"), ("key", "city")],
        &[("method", "getother"), ("username", "nobody"), ("key", "city")],
        &[("method", "upgrade")],
        &[("method", "dance")],
    ];
    client.send(pickled(all)).await;
    let words = [
        "Invalid key",
        "Successful",
        "Kolkata",
        "Access Denied",
        "Access Denied",
        "Illegal request",
    ];
    assert_eq!(unpickled(&client.receive().await), words);
    client.send(pickled(&[])).await;
    assert_eq!(unpickled(&client.receive().await), [""; 0]);

    let mut second = OldClient::connect(&server, "pickle").await;
    second
        .send([b"Rwitick".to_vec(), pickled(&[&[("method", "get"), ("key", "city")]])].concat())
        .await;
    assert_eq!(unpickled(&second.receive().await), ["Invalid username"]);
    assert_eq!(second.receive().await, b"", "the name is in use: closed");
    client.send(pickled(&[&[("method", "get"), ("key", "city")]])).await;
    assert_eq!(unpickled(&client.receive().await), ["Kolkata"]);
    client.send(b"\x80\x02cos\nsystem\n.").await;
    assert_eq!(unpickled(&client.receive().await), ["Illegal request"]);
    assert_eq!(client.receive().await, b"");
}

fn frame(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

#[tokio::test]
async fn encode_and_decode() {
    let server = server(&["encode", "decode"], "").await;
    let bits = "01100011 01101111 01101101 01101101";
    for (dialect, request, reply) in [("encode", "comm", bits), ("decode", bits, "comm")] {
        let mut client = OldClient::connect(&server, dialect).await;
        for _ in 0..2 {
            client.send(frame(request)).await;
            assert_eq!(client.receive().await, frame(reply), "{dialect}");
        }
        client.send([0; 4]).await;
        assert_eq!(client.receive().await, b"", "{dialect}");
    }
    let mut client = OldClient::connect(&server, "decode").await;
    let wrong = {
        client.send(frame("01100011 2")).await;
        client.receive().await
    };
    assert!(String::from_utf8_lossy(&wrong[4..]).starts_with("error: "), "{wrong:?}");
    client.send(frame(bits)).await;
    assert_eq!(client.receive().await, frame("comm"), "the session goes on");
}

#[tokio::test]
async fn hello_and_calc() {
    let server = server(&["hello", "calc"], "").await;
    let mut client = OldClient::connect(&server, "hello").await;
    assert_eq!(client.ask("knock knock").await, "Whose there?");
    let mut client = OldClient::connect(&server, "calc").await;
    client.send("anuran\n").await;
    for (request, reply) in [
        ("12 + 13\n", "25.0\n"),
        ("3.24 - 45\n", "-41.76\n"),
        ("4.5 / -6\n", "-0.75\n"),
        ("2 * 8\n", "16.0\n"),
        ("1 / 0\n", "Division by zero\n"),
        ("one + two\n", "Invalid expression\n"),
        ("q\n", ""),
    ] {
        assert_eq!(client.ask(request).await, reply, "{request}");
    }
}

#[tokio::test]
async fn clock() {
    let server = server(&["clock"], "").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(protocol(&server, "clock")).await.unwrap();
    let ask = async |request: &[u8]| {
        socket.send(request).await.unwrap();
        let mut buffer = [0; 64];
        let length = within("an answer", socket.recv(&mut buffer)).await.unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let today = || jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
    let before = today();
    let date = ask(b"SEND_DATE").await;
    assert!([before, today()].contains(&date), "{date}");
    let time = ask(b"SEND_TIME").await;
    assert!(time.len() == 8 && time.parse::<jiff::civil::Time>().is_ok(), "{time}");
    // These datagrams get no answer, so the next answer is that of the next request.
    for silent in [&b"Ok"[..], b"", b"2026-11-21", &[b'x'; 1025]] {
        socket.send(silent).await.unwrap();
    }
    assert_eq!(ask(b"anything").await, "Ok");
    assert_eq!(ask(b"SEND_DATE").await.len(), 10);
}
