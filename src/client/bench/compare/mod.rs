//! `bench compare`: the same gets and puts over TCP (`text`), over a WebSocket (`ws-text`) and over
//! gRPC, as a report with plots.
//!
//! `wire` counts bytes and segments of one connection, `relay` makes round trips long enough to be
//! counted, `slow` is a reader that does not read; `markdown` writes what came of it. All figures
//! are of one run; nothing is kept from another.

mod markdown;
mod relay;
mod slow;
mod wire;

use std::path::Path;
use std::sync::Arc;

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use super::report::{PERCENTILES, micros, rate};
use super::{measure, plot};
use crate::client::failure::{Failure, Result};
use crate::client::output::{Output, Row};
use crate::client::session::Session;
use crate::dialect::grammar::{BenchCall, BenchMode};

/// What is compared, in the order of the report.
const TRANSPORTS: [(BenchMode, &str); 3] = [
    (BenchMode::Text, "TCP (`text`)"),
    (BenchMode::WsText, "WebSocket (`ws-text`)"),
    (BenchMode::Unary, "gRPC"),
];
/// Who asks, and for whose store.
const ROLES: [(&str, bool, bool); 3] = [
    ("guest, own store", false, false),
    ("manager, own store", true, false),
    ("manager, another's store", true, true),
];
/// Bytes of the values whose cost is compared; the doors take only the first three.
const SIZES: [usize; 4] = [100, 4_000, 50_000, 1_000_000];
const MAX_DOOR_VALUE: usize = 60 << 10;
/// Operations a second at which latency is compared, low enough for all.
const RATE: u64 = 1_000;

/// All figures.
struct Comparison {
    loads: Vec<LoadResult>,
    sizes: Vec<SizeResult>,
    wires: Vec<wire::Wire>,
    trips: Vec<relay::Trips>,
    slow: Vec<slow::Slow>,
}

/// A transport with a role.
struct LoadResult {
    transport: &'static str,
    role: &'static str,
    /// Operations a second in a closed loop.
    rate: f64,
    /// Nanoseconds at the fixed rate.
    latency: Histogram<u64>,
}

/// A transport with values of a size.
struct SizeResult {
    transport: &'static str,
    bytes: usize,
    rate: f64,
    latency: Histogram<u64>,
}

/// Measures everything, and writes the report.
pub(super) async fn run(
    session: &Session,
    output: &mut Output,
    call: &BenchCall,
    password: Option<&str>,
) -> Result<()> {
    let Some(password) = password else {
        return Err(Failure::usage(
            "a comparison is one of managers too; give --manager, --user and --password-file",
        ));
    };
    let comparison = Comparison {
        wires: wire::all(session, call).await?,
        trips: relay::all(session, call).await?,
        loads: loads(session, call, password).await?,
        sizes: sizes(session, call).await?,
        slow: slow::all(session, call).await?,
    };
    let report = |plots: Option<&str>| markdown::report(&comparison, call, plots);
    match &call.report {
        Some(path) => {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("comparison");
            plots(&comparison, path, stem)?;
            let written = std::fs::write(path, report(Some(stem)));
            written.map_err(|error| {
                Failure::usage(format!("cannot write {}: {error}", path.display()))
            })?;
            let text = format!("written: {}", path.display());
            Ok(output.result(&Row { text, json: comparison.json() })?)
        }
        None => Ok(output.result(&Row { text: report(None), json: comparison.json() })?),
    }
}

/// The load of a transport, from the options of the comparison.
fn load(call: &BenchCall, mode: BenchMode) -> BenchCall {
    BenchCall {
        mode,
        manager: false,
        batch: 1,
        in_flight: 1,
        operations: None,
        rate: None,
        report: None,
        ..call.clone()
    }
}

async fn loads(session: &Session, call: &BenchCall, password: &str) -> Result<Vec<LoadResult>> {
    let mut results = Vec::new();
    for (role, manager, other) in ROLES {
        for (mode, transport) in TRANSPORTS {
            let password = manager.then_some(password);
            let closed = BenchCall { manager, other, ..load(call, mode) };
            let paced = BenchCall { rate: Some(RATE), ..closed.clone() };
            let rate = rate(&measure(session, &closed, password).await?);
            let latency = measure(session, &paced, password).await?.latency;
            results.push(LoadResult { transport, role, rate, latency });
        }
    }
    Ok(results)
}

async fn sizes(session: &Session, call: &BenchCall) -> Result<Vec<SizeResult>> {
    let mut results = Vec::new();
    for bytes in SIZES {
        for (mode, transport) in TRANSPORTS {
            if mode.is_door() && bytes > MAX_DOOR_VALUE {
                continue;
            }
            // One caller: what a value takes on its way, not in a queue.
            let sized = BenchCall {
                value_size: bytes,
                keys: 10,
                connections: 1,
                writes: 50,
                ..load(call, mode)
            };
            let measured = measure(session, &sized, None).await?;
            results.push(SizeResult {
                transport,
                bytes,
                rate: rate(&measured),
                latency: measured.latency,
            });
        }
    }
    Ok(results)
}

/// Writes the plots beside the report.
fn plots(comparison: &Comparison, report: &Path, stem: &str) -> Result<()> {
    for (index, (role, ..)) in ROLES.into_iter().enumerate() {
        let lines: Vec<_> = comparison.loads.iter().filter(|load| load.role == role).collect();
        let lines: Vec<_> = lines.iter().map(|load| (load.transport, &load.latency)).collect();
        plot::latency(&report.with_file_name(format!("{stem}-latency-{}.svg", index + 1)), &lines)?;
    }
    let lines = TRANSPORTS.map(|(_, transport)| plot::Line {
        name: transport.to_owned(),
        points: comparison
            .sizes
            .iter()
            .filter(|size| size.transport == transport)
            .map(|size| ((size.bytes as f64).log10(), micros(&size.latency, 50.0)))
            .collect(),
    });
    let bytes = |log: &f64| format!("{}", 10f64.powf(log.round()));
    let path = report.with_file_name(format!("{stem}-sizes.svg"));
    plot::write(
        &path,
        "Median of an operation, one caller",
        ("bytes of the value", &bytes),
        "µs",
        &lines,
    )
}

impl Comparison {
    fn json(&self) -> Json {
        let times = |latency: &Histogram<u64>| -> serde_json::Map<String, Json> {
            PERCENTILES
                .iter()
                .map(|(name, share)| ((*name).to_owned(), json!(micros(latency, *share))))
                .collect()
        };
        json!({
            "wire": self.wires.iter().map(wire::Wire::json).collect::<Vec<_>>(),
            "round_trips": self.trips.iter().map(relay::Trips::json).collect::<Vec<_>>(),
            "loads": self.loads.iter().map(|load| json!({
                "transport": load.transport,
                "role": load.role,
                "operations_per_second": load.rate,
                "latency_us": times(&load.latency),
            })).collect::<Vec<_>>(),
            "sizes": self.sizes.iter().map(|size| json!({
                "transport": size.transport,
                "value_bytes": size.bytes,
                "operations_per_second": size.rate,
                "latency_us": times(&size.latency),
            })).collect::<Vec<_>>(),
            "slow_readers": self.slow.iter().map(slow::Slow::json).collect::<Vec<_>>(),
        })
    }
}

/// A single caller of a transport, with its store filled.
async fn caller(
    session: &Session,
    call: &BenchCall,
) -> Result<(super::Lane, Option<super::Person>)> {
    let load = Arc::new(super::Load::new(call, None));
    if call.mode.is_door() {
        let mut lanes = super::door::lanes(session, call, &load, None).await?;
        return lanes
            .pop()
            .map(|lane| (lane, None))
            .ok_or_else(|| Failure::failed("no connection opened"));
    }
    let person = super::Person::guest(session).await?;
    person.fill(session, &load).await?;
    let lane = super::grpc::lanes(session, call, &load, std::slice::from_ref(&person)).await?.pop();
    let lane = lane.ok_or_else(|| Failure::failed("no connection opened"))?;
    Ok((super::Lane::Grpc(Box::new(lane)), Some(person)))
}
