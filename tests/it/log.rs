//! The log of a server: readers that are gone or stuck, and what is written before the end.

use rustix::process::Signal;

use crate::harness::{ServerProcess, eventually, exchange};

const FLAGS: &[&str] = &[
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--compat",
    "calc=127.0.0.1:0",
    "--log-level",
    "trace",
];

/// Returns the number of lines that the server has dropped.
async fn lines_dropped(server: &ServerProcess) -> u64 {
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let page = exchange(server.address("admin"), request).await;
    let line = page.lines().find_map(|line| line.strip_prefix("kvrpc_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("no such metric:\n{page}")).parse().unwrap()
}

/// Calculates until lines have been dropped; each client is answered.
async fn calculate_until_lines_are_dropped(server: &ServerProcess) {
    // A client's name is logged; 64 characters of it.
    let session = [&[b'x'; 100][..], b"\n1 + 1\nq\n"].concat();
    eventually("lines are dropped", || async {
        for _ in 0..100 {
            assert_eq!(exchange(server.address("calc"), &session).await, "2.0\n");
        }
        lines_dropped(server).await > 0
    })
    .await;
}

/// The first line that could not be written ended the accept loop, and a stop cut running calls and
/// ended with 101.
#[tokio::test]
async fn a_reader_that_is_gone_costs_lines_and_nothing_else() {
    let (server, log) = ServerProcess::start_with_log(FLAGS);
    drop(log);
    calculate_until_lines_are_dropped(&server).await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code, Some(0));
}

/// A full pipe halted every thread with its next line, so that no call was answered and no signal
/// had an effect.
#[tokio::test]
async fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
    let (server, log) = ServerProcess::start_with_log(FLAGS);
    calculate_until_lines_are_dropped(&server).await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code, Some(0));
    drop(log);
}

/// Lines that wait in the queue at the end are written, the reason of a failed start among them.
#[test]
fn the_last_lines_are_written_before_the_end() {
    let server = ServerProcess::start(FLAGS);
    server.signal(Signal::TERM);
    let finished = server.wait();
    assert!(finished.stderr.contains("stopped"), "{finished:?}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for _ in 0..20 {
        let finished = ServerProcess::run(&["--listen", &address], &[], "");
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: --listen"), "{finished:?}");
    }
}
