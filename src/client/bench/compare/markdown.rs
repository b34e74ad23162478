//! The report as Markdown: the tables, and what they say, in words that follow the figures.

use std::fmt::Write as _;

use super::super::report::micros;
use super::relay::Trips;
use super::slow::Slow;
use super::wire::{HEADER_BYTES, Wire};
use super::{Comparison, LoadResult, RATE, ROLES, SizeResult};
use crate::dialect::grammar::BenchCall;

/// The whole report; `plots` is what the names of the plots begin with.
pub(super) fn report(comparison: &Comparison, call: &BenchCall, plots: Option<&str>) -> String {
    let mut text = format!(
        "# TCP, WebSocket and gRPC beside each other\n\n\
        The same gets and puts of one server over three ways to it: bare lines on TCP (the dialect `text`), messages on a WebSocket (`ws-text`), and gRPC (`Get`, `Put`,\n\
        `GetOther`). All on loopback of one machine that also ran the client, which takes one core; every answer was checked. Made by `bench/comparison`\n\
        (`kvrpc-cli bench compare`). Values have {} bytes unless it says otherwise.\n\n",
        call.value_size
    );
    for part in [
        wire(&comparison.wires),
        trips(&comparison.trips),
        loads(&comparison.loads, call, plots),
        sizes(&comparison.sizes, plots),
        slow(&comparison.slow),
    ] {
        text.push_str(&part);
        text.push('\n');
    }
    text
}

fn wire(wires: &[Wire]) -> String {
    let mut text = String::from(
        "## On the wire\n\n\
        Bytes of TCP payload and segments of an operation, one after another on one connection, as the kernel counted them on the client's side. The last column adds the 52 bytes of\n\
        IPv4 and TCP header that each segment has.\n\n\
        | transport | operation | bytes sent | bytes received | segments both ways | with headers |\n\
        |---|---|--:|--:|--:|--:|\n",
    );
    let whole = |wire: &Wire| wire.sent + wire.received + wire.segments * HEADER_BYTES;
    for each in wires {
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.2} | {:.0} |",
            each.transport,
            each.operation,
            each.sent,
            each.received,
            each.segments,
            whole(each)
        );
    }
    let gets: Vec<&Wire> = wires.iter().filter(|wire| wire.operation == "get").collect();
    if let [tcp, socket, grpc] = gets[..] {
        let _ = write!(
            text,
            "\nBeside bare TCP, a WebSocket adds {:.0} bytes to a get: a frame's header each way, and the mask of what a client sends. gRPC adds {:.0}: frames, header fields, which HPACK\n\
            makes short after the first call, the message's own lengths, the revision, and the trailers that carry the status. With the headers of the segments the whole get is {:.1} times as\n\
            much over gRPC as over TCP. What pays for it: a status that is no text to guess from, deadlines, many calls on one connection, and values that may hold any byte.\n",
            socket.sent + socket.received - tcp.sent - tcp.received,
            grpc.sent + grpc.received - tcp.sent - tcp.received,
            whole(grpc) / whole(tcp),
        );
    }
    text
}

fn trips(trips: &[Trips]) -> String {
    let mut text = String::from(
        "## Round trips\n\n\
        Counted by a relay that holds every byte back for 50 ms each way. To the first answer: from no connection to an acknowledged put, TCP's own round trip included, without TLS.\n\n\
        | transport | to the first answer | each operation |\n\
        |---|--:|--:|\n",
    );
    for each in trips {
        let _ = writeln!(text, "| {} | {:.0} | {:.2} |", each.transport, each.first, each.each);
    }
    text.push_str(
        "\nA `text` client asks at once: its port is its name. A WebSocket client first upgrades the connection, then says a name. A gRPC client signs in, and keeps its token: the next\n\
        process begins with the call. Behind that, every transport takes one round trip for an operation; gRPC alone can have many on their way on one connection without one waiting\n\
        for another, and a `Batch` carries up to 1,000 operations in one.\n",
    );
    text
}

fn loads(loads: &[LoadResult], call: &BenchCall, plots: Option<&str>) -> String {
    let mut text = format!(
        "## Latency and throughput\n\n\
        {} connections with one operation in flight on each, {} % puts (none on another's store). Throughput: closed loop, a client of one core. Latency in µs: {RATE} operations a second\n\
        whatever the answers do, each counted from when it was due. A manager over `text` and gRPC is an account; over `ws-text` it is a guest that promoted itself.\n\n\
        | who | transport | operations a second | p50 | p99 | p99.9 |\n\
        |---|---|--:|--:|--:|--:|\n",
        call.connections, call.writes
    );
    for load in loads {
        let time = |share| micros(&load.latency, share);
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} |",
            load.role,
            load.transport,
            load.rate,
            time(50.0),
            time(99.0),
            time(99.9)
        );
    }
    let rate = |role: &str, index: usize| {
        loads.iter().filter(|load| load.role == role).nth(index).map_or(f64::NAN, |load| load.rate)
    };
    let [(guest, ..), (manager, ..), (other, ..)] = ROLES;
    let _ = write!(
        text,
        "\nFor guests, `text` gave {:.1} times and `ws-text` {:.1} times the throughput of unary gRPC. A manager's throughput on its own store was {:.2} (TCP),\n\
        {:.2} (WebSocket) and {:.2} (gRPC) times a guest's: a role is looked at, not worked out, so what is not 1 is the machine's other work. Reading another's store, which is authorised and put on record for its owner each time, gave {:.2}, {:.2} and {:.2}\n\
        times the throughput of one's own, whose mix has puts in it.\n",
        rate(guest, 0) / rate(guest, 2),
        rate(guest, 1) / rate(guest, 2),
        rate(manager, 0) / rate(guest, 0),
        rate(manager, 1) / rate(guest, 1),
        rate(manager, 2) / rate(guest, 2),
        rate(other, 0) / rate(manager, 0),
        rate(other, 1) / rate(manager, 1),
        rate(other, 2) / rate(manager, 2),
    );
    if let Some(stem) = plots {
        for (index, (role, ..)) in ROLES.into_iter().enumerate() {
            let _ = write!(
                text,
                "\n![Latency by percentile: {role}]({stem}-latency-{}.svg)\n",
                index + 1
            );
        }
    }
    text
}

fn sizes(sizes: &[SizeResult], plots: Option<&str>) -> String {
    let mut text = String::from(
        "## Large values\n\n\
        One caller, half puts and half gets; µs of an operation.\n\n\
        | bytes of the value | transport | p50 | p99 | MB a second |\n\
        |--:|---|--:|--:|--:|\n",
    );
    for size in sizes {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.1} |",
            size.bytes,
            size.transport,
            micros(&size.latency, 50.0),
            micros(&size.latency, 99.0),
            size.rate * size.bytes as f64 / 1e6
        );
    }
    text.push_str(
        "\nThe doors take requests up to 64 KiB, and `text` and `ws-text` no value with a blank or a line break in it; a longer one is answered with an error, and then the connection is closed.\n\
        gRPC takes any bytes, up to 1 MiB in a value and 4 MiB in a message. The larger the value, the less the transport matters.\n",
    );
    if let Some(stem) = plots {
        let _ = write!(text, "\n![Median by size]({stem}-sizes.svg)\n");
    }
    text
}

fn slow(slow: &[Slow]) -> String {
    let mut text = format!(
        "## A reader that does not read\n\n\
        It asks for values of 50,000 bytes, over gRPC by one `Scan` of 100 of them, and reads nothing. Others meanwhile send {RATE} gets and puts a second on connections of their own.\n\n\
        | transport | requests it sent, at most 1,000 | bytes that came to its side | p99 of others before, µs | meanwhile | on the same connection |\n\
        |---|--:|--:|--:|--:|--:|\n"
    );
    for each in slow {
        let same = each.same_connection.map_or_else(|| "–".to_owned(), |p99| format!("{p99:.0}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.0} | {same} |",
            each.transport, each.requests, each.received, each.before, each.meanwhile
        );
    }
    text.push_str(
        "\nOver TCP and WebSocket the system's buffers fill, then the server stops reading that connection's requests until its answers are taken: the slow reader slows itself. Over gRPC the\n\
        stream's window stops the server earlier, at what the client's HTTP/2 settings allow, and the connection stays free for other calls as long as its own window is larger than a stream's.\n",
    );
    text
}
