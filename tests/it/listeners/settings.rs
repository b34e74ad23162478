//! The choice of protocols and addresses.

use kvrpc::model::Method;
use kvrpc::pb::v1;

use super::client::{protocol, server};
use crate::grpc::raw::Raw;
use crate::harness::ServerProcess;

#[tokio::test]
async fn the_server_tells_its_listeners() {
    let server = server(&["text", "clock", "text"], "").await;
    let info: v1::GetServerInfoResponse = Raw::new(server.channel())
        .call(Method::GetServerInfo.path(), &v1::GetServerInfoRequest::default())
        .await
        .unwrap();
    let listeners: Vec<_> =
        info.listeners.iter().map(|listener| listener.protocol.as_str()).collect();
    assert_eq!(listeners, ["grpc", "text", "text", "clock"]);
    assert_eq!(info.listeners[1].address, protocol(&server, "text").to_string());
}

#[test]
fn a_named_address_that_is_taken_is_fatal_and_the_default_ones_a_warning() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let named = format!("text={address}");
    let finished = ServerProcess::run(&["--listen", "127.0.0.1:0", "--compat", &named], &[], "");
    let wanted = format!("error: --compat text {address}: the address is in use");
    assert!(finished.code == Some(1) && finished.stderr.contains(&wanted), "{finished:?}");
    // The port is taken by this test, or was in use before.
    let _taken = std::net::TcpListener::bind("127.0.0.1:5555");
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&config, "listen = [\"127.0.0.1:0\"]\n").unwrap();
    let mut process = ServerProcess::start(&["--config", config.path().to_str().unwrap()]);
    assert!(process.address("grpc").port() != 0);
    process.signal(rustix::process::Signal::TERM);
    process.wait_for_line("stopped");
    let finished = process.wait();
    assert!(
        finished.stderr.contains("the default listener is not open: --compat text 127.0.0.1:5555"),
        "{finished:?}"
    );
}

#[test]
fn listeners_beyond_loopback_and_contradictions_are_refused() {
    for (arguments, wanted) in [
        (&["--compat", "text=0.0.0.0:5555"][..], "is beyond loopback"),
        (&["--compat", "decode=eth1:3000"], "is beyond loopback"),
        (&["--compat", "text=127.0.0.1:0", "--no-compat"], "--no-compat: contradicts --compat"),
        (&["--compat", "telnet=127.0.0.1:0"], "there is no such dialect"),
    ] {
        let finished = ServerProcess::run(&[&["check-config"], arguments].concat(), &[], "");
        assert!(
            finished.code == Some(2) && finished.stderr.contains(wanted),
            "{arguments:?}: {finished:?}"
        );
    }
    for arguments in [
        &["--compat", "encode=lo:3000", "--compat", "ws-text=[::1]:1603"][..],
        &["--compat", "text=0.0.0.0:5555", "--insecure-compat"],
        &["--no-compat"],
    ] {
        let finished = ServerProcess::run(&[&["check-config"], arguments].concat(), &[], "");
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    }
}
