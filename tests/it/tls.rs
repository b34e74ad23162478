//! TLS: admission of clients, reloading of files, and replies to the wrong protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use rustix::process::Signal;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    Authority, Server, ServerProcess, connect, eventually, exchange, http2, probe, read_all,
    tls_connect, within,
};

const H2: &[&[u8]] = &[b"h2"];

/// Returns the client's name as the probe sees it over HTTP/2.
async fn who(address: SocketAddr, client: Arc<ClientConfig>) -> std::io::Result<String> {
    let stream = tls_connect(address, client).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, _driver) = http2(stream).await;
    let request = http::Request::get("https://localhost/who").body(Empty::<Bytes>::new()).unwrap();
    // With TLS 1.3, a refused client is told only when it reads.
    let response =
        within("an answer", sender.send_request(request)).await.map_err(std::io::Error::other)?;
    Ok(String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
        .unwrap())
}

/// Returns the holder in the certificate that the server presents; empty while the server cannot be
/// reached.
async fn shown(address: SocketAddr, authority: &Authority) -> String {
    let Ok(stream) = tls_connect(address, authority.client(H2, None)).await else {
        return String::new();
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    // The certificate contains the name literally.
    let text = String::from_utf8_lossy(&chain[0]).into_owned();
    ["first", "second", "third"].into_iter().find(|name| text.contains(name)).unwrap().to_owned()
}

#[tokio::test]
async fn calls_come_encrypted_by_http2_and_http1() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("first"));
    let (_, parts) = probe();
    let server =
        Server::builder().flag("--tls-cert", cert).flag("--tls-key", key).start_with(parts).await;
    let answer = who(server.grpc(), authority.client(H2, None)).await.unwrap();
    assert_eq!(answer, "peer=127.0.0.1 tls=true certificates=0");

    let mut stream =
        tls_connect(server.grpc(), authority.client(&[b"http/1.1"], None)).await.unwrap();
    stream
        .write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = String::from_utf8(read_all(&mut stream).await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("tls=true certificates=0"),
        "{answer}"
    );

    let stranger = Authority::new();
    assert!(
        who(server.grpc(), stranger.client(H2, None)).await.is_err(),
        "a client of another authority got in"
    );
}

#[tokio::test]
async fn with_client_roots_only_their_clients_get_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let [cert, key] = authority.write_pair(&authority.sign("first"));
    let (_, parts) = probe();
    let builder = Server::builder().flag("--tls-cert", cert).flag("--tls-key", key);
    let server = builder.flag("--tls-client-ca", authority.write_root()).start_with(parts).await;
    for (name, identity, gets_in) in [
        ("with a certificate", Some(authority.sign("client")), true),
        ("with a stranger's", Some(stranger.sign("client")), false),
        ("without one", None, false),
    ] {
        let answer = who(server.grpc(), authority.client(H2, identity.as_ref())).await.ok();
        assert_eq!(
            answer,
            gets_in.then(|| "peer=127.0.0.1 tls=true certificates=1".to_owned()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn files_are_read_again_on_change_and_on_sighup_and_bad_ones_are_not_used() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("first"));
    let mut server =
        ServerProcess::start(&["--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key]);
    let address = server.address("grpc");
    assert_eq!(shown(address, &authority).await, "first");

    authority.write_pair(&authority.sign("second"));
    eventually("the second certificate is shown", || async {
        shown(address, &authority).await == "second"
    })
    .await;

    authority.write("cert.pem", "no certificate");
    server.wait_for_line(
        "cert.pem: has no certificate in it; the certificate from before stays in use",
    );
    assert_eq!(shown(address, &authority).await, "second");

    // Certificate and key change together here, so only the signal can have caused the reload.
    authority.write_pair(&authority.sign("third"));
    server.signal(Signal::HUP);
    server.wait_for_line("the certificate was loaded again");
    assert_eq!(shown(address, &authority).await, "third");
}

#[test]
fn bad_files_at_the_start_are_fatal_and_named() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("first"));
    let [other, empty] = [
        authority.write("other.pem", &authority.sign("second").key),
        authority.write("empty.pem", ""),
    ];
    let (missing, broken) = (
        authority.path("missing.pem").display().to_string(),
        authority.write("broken.pem", "-----BEGIN CERTIFICATE-----\nx"),
    );
    for (cert, key, extra, wanted) in [
        (&cert, &other, None, "other.pem: is not the key of the certificate in "),
        (&missing, &key, None, "missing.pem: cannot be read: "),
        (&empty, &key, None, "empty.pem: has no certificate in it"),
        (&cert, &empty, None, "empty.pem: has no private key in it"),
        (&broken, &key, None, "broken.pem: cannot be read: "),
        (&cert, &cert, None, "cert.pem: has no private key in it"),
        (&cert, &key, Some(&empty), "empty.pem: has no certificate in it"),
    ] {
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
        arguments.extend(extra.into_iter().flat_map(|extra| ["--tls-client-ca", extra.as_str()]));
        let finished = ServerProcess::run(&arguments, &[], "");
        assert!(
            finished.code == Some(1) && finished.stderr.contains(wanted),
            "{arguments:?}: {finished:?}"
        );
    }
}

#[tokio::test]
async fn plaintext_on_a_tls_port_is_told_so_in_its_own_protocol() {
    let authority = Authority::new();
    let [cert, key] = authority.write_pair(&authority.sign("first"));
    let server = Server::builder()
        .flag("--tls-cert", cert)
        .flag("--tls-key", key)
        .toml("[limits]\nhandshake = '200ms'");
    let server = server.start().await;
    let answer = exchange(server.grpc(), b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ")
            && answer.ends_with("this port speaks TLS; use https://\n"),
        "{answer}"
    );
    assert_eq!(exchange(server.grpc(), b"\0\0\0").await, "");
    assert_eq!(exchange(server.grpc(), b"").await, "", "a silent connection is closed in the end");

    let (mut sender, driver) = http2(connect(server.grpc()).await).await;
    let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
    assert!(within("an answer", sender.send_request(request)).await.is_err());
    let error = format!("{:?}", within("the connection ends", driver).await.unwrap().unwrap_err());
    assert!(
        error.contains("INADEQUATE_SECURITY")
            && error.contains("this port speaks TLS; use https://"),
        "{error}"
    );
}

#[tokio::test]
async fn tls_on_a_plaintext_port_gets_an_alert() {
    let server = Server::start().await;
    let error = tls_connect(server.grpc(), Authority::new().client(H2, None)).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    let mut stream = connect(server.grpc()).await;
    stream.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut alert = [0; 7];
    within("the alert", stream.read_exact(&mut alert)).await.unwrap();
    assert_eq!(alert, [0x15, 3, 1, 0, 2, 2, 0x46]);
}
