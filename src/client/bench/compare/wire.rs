//! Bytes and segments of one connection for each operation, as the system counts them (`ss` of
//! iproute2, which reads TCP_INFO).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::time::Instant;

use super::{TRANSPORTS, caller, load};
use crate::client::failure::{Failure, Result};
use crate::client::session::Session;
use crate::dialect::grammar::BenchCall;

/// Operations over which the counts are divided.
const OPERATIONS: u64 = 500;
/// Longer than an acknowledgement is held back (40 ms on Linux).
const SETTLED: Duration = Duration::from_millis(200);
/// What IPv4 and TCP with its time stamps put before each segment.
pub(super) const HEADER_BYTES: f64 = 52.0;

/// What an operation is on the wire.
pub(super) struct Wire {
    pub(super) transport: &'static str,
    pub(super) operation: &'static str,
    pub(super) sent: f64,
    pub(super) received: f64,
    pub(super) segments: f64,
}

/// The counters of one end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counters {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) segments: u64,
}

impl Wire {
    pub(super) fn json(&self) -> Json {
        json!({
            "transport": self.transport,
            "operation": self.operation,
            "bytes_sent": self.sent,
            "bytes_received": self.received,
            "segments": self.segments,
        })
    }
}

/// Gets and puts of every transport, one after another on one connection.
pub(super) async fn all(session: &Session, call: &BenchCall) -> Result<Vec<Wire>> {
    let mut all = Vec::new();
    for (mode, transport) in TRANSPORTS {
        for (operation, writes) in [("get", 0), ("put", 100)] {
            let one = BenchCall { connections: 1, writes, ..load(call, mode) };
            let before = counters().await?;
            let (mut lane, person) = caller(session, &one).await?;
            // The first operation brings what comes only once: header tables, acknowledged
            // settings.
            lane.request(0, Instant::now()).await?;
            let first = opened(&before).await?;
            for number in 1..=OPERATIONS {
                lane.request(number, Instant::now()).await?;
            }
            let last = opened(&before).await?;
            if let Some(person) = person {
                person.end(session, 0).await?;
            }
            let each = |count: fn(&Counters) -> u64| {
                (count(&last) - count(&first)) as f64 / OPERATIONS as f64
            };
            all.push(Wire {
                transport,
                operation,
                sent: each(|counters| counters.sent),
                received: each(|counters| counters.received),
                segments: each(|counters| counters.segments),
            });
        }
    }
    Ok(all)
}

/// The counters of the connection that this process opened last, of those that were not there
/// before.
pub(super) async fn opened(before: &HashMap<u16, Counters>) -> Result<Counters> {
    tokio::time::sleep(SETTLED).await;
    let now = counters().await?;
    // What set the caller up has a connection too, but ended its work before: the busiest is the
    // caller's.
    let new =
        now.iter().filter(|(port, _)| !before.contains_key(port)).map(|(_, counters)| *counters);
    new.max_by_key(|counters| counters.segments)
        .ok_or_else(|| Failure::failed("the connection is not in the output of `ss`"))
}

/// The counters of all connections of this process, by their own ports.
pub(super) async fn counters() -> Result<HashMap<u16, Counters>> {
    let missing = |error: std::io::Error| {
        Failure::failed(format!("cannot run `ss` of iproute2, which counts segments: {error}"))
    };
    let output = Command::new("ss").args(["-tinpH"]).output().await.map_err(missing)?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout), std::process::id()))
}

/// Reads `ss -tinpH`: a line of addresses and the process, and an indented one of counters.
fn parse(text: &str, process: u32) -> HashMap<u16, Counters> {
    let mut found = HashMap::new();
    let mut port = None;
    for line in text.lines() {
        if line.starts_with(char::is_whitespace) {
            if let Some(port) = port.take() {
                let number = |name: &str| -> u64 {
                    let mut words = line.split_whitespace();
                    words
                        .find_map(|word| word.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
                        .unwrap_or(0)
                };
                let counters = Counters {
                    sent: number("bytes_sent"),
                    received: number("bytes_received"),
                    segments: number("segs_out") + number("segs_in"),
                };
                found.insert(port, counters);
            }
        } else {
            let ours = line.contains(&format!("pid={process},"));
            let local = line
                .split_whitespace()
                .nth(3)
                .and_then(|address| address.rsplit_once(':')?.1.parse().ok());
            port = local.filter(|_| ours);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_this_process_are_found() {
        let text = "ESTAB 0      0      127.0.0.1:35390 127.0.0.1:1603 users:((\"kvrpc-cli\",pid=7,fd=3))\n\
            \t bbr rto:204 bytes_sent:11 bytes_acked:12 bytes_received:5 segs_out:3 segs_in:2 data_segs_out:1\n\
            ESTAB 0      0      127.0.0.1:1603  127.0.0.1:35390 users:((\"other\",pid=77,fd=3))\n\
            \t bbr bytes_sent:1 segs_out:1 segs_in:3 data_segs_in:1\n";
        let want = Counters { sent: 11, received: 5, segments: 5 };
        assert_eq!(parse(text, 7), HashMap::from([(35390, want)]));
        assert_eq!(parse("", 7), HashMap::new());
    }
}
