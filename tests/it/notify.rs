//! Notifications for a service manager.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::harness::{PATIENCE, ServerProcess, connect, receive};

/// A unit counted as started before it listened, and a stop was not told. Besides, the log goes to
/// a full disk, with which the server did not start at all.
#[tokio::test]
async fn a_service_manager_is_told_of_the_start_and_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let server = ServerProcess::start_notifying(&["--listen", "127.0.0.1:0"], &[], &socket);
    drop(connect(server.address("grpc")).await);
    server.signal(Signal::TERM);
    let told = receive(&socket);
    assert!(told.starts_with("STOPPING=1\n"), "{told}");
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn a_watchdog_hears_of_a_server_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let flags = ["--listen", "127.0.0.1:0"];
    let _server = ServerProcess::start_notifying(&flags, &[("WATCHDOG_USEC", "100000")], &socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..3 {
        let mut told = [0; 64];
        let length = socket.recv(&mut told).unwrap();
        assert_eq!(&told[..length], b"WATCHDOG=1\n");
    }
}
