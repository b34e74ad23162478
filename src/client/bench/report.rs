//! What a load came to, as people and as programs read it.

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use super::drive::Measured;
use crate::client::output::Row;
use crate::dialect::grammar::{BenchCall, BenchMode};

/// The shares of requests whose times are told.
pub(super) const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Microseconds of a percentile.
pub(super) fn micros(latency: &Histogram<u64>, percentile: f64) -> f64 {
    latency.value_at_percentile(percentile) as f64 / 1e3
}

/// Operations a second.
pub(super) fn rate(measured: &Measured) -> f64 {
    measured.operations as f64 / measured.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Microseconds of the server's CPU for an operation.
fn cpu_each(measured: &Measured) -> Option<f64> {
    let operations = measured.operations.max(1) as f64;
    measured.server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / operations)
}

/// The result of one load.
pub(super) fn row(call: &BenchCall, measured: &Measured) -> Row {
    Row { text: text(call, measured), json: json(call, measured) }
}

fn who(call: &BenchCall) -> &'static str {
    match (call.manager, call.other) {
        (false, false) => "guest",
        (true, false) => "manager",
        (false, true) => "guest, another's store",
        (true, true) => "manager, another's store",
    }
}

fn text(call: &BenchCall, measured: &Measured) -> String {
    let latency = &measured.latency;
    let loop_ = match call.rate {
        Some(rate) => format!("{rate} operations a second due"),
        None => "closed loop".to_owned(),
    };
    let unit = if call.mode == BenchMode::Chat { "delivery" } else { "request" };
    let mut lines = vec![
        format!(
            "{} as {}: {} connections × {} in flight × {} operations a request, values of {} B, {loop_}",
            call.mode.as_str(),
            who(call),
            call.connections,
            call.in_flight,
            call.batch,
            call.value_size,
        ),
        format!(
            "{} operations in {:.2} s, {:.0} a second; every answer was right",
            measured.operations,
            measured.elapsed.as_secs_f64(),
            rate(measured),
        ),
        format!("{:>12}  µs each {unit}, of {}", "", latency.len()),
        format!("{:>12}  {:.1}", "mean", latency.mean() / 1e3),
    ];
    lines.extend(
        PERCENTILES.map(|(name, share)| format!("{name:>12}  {:.1}", micros(latency, share))),
    );
    lines.push(format!("{:>12}  {:.1}", "max", latency.max() as f64 / 1e3));
    if let Some(cpu) = cpu_each(measured) {
        lines.push(format!("{:>12}  {cpu:.2} µs an operation", "server CPU"));
    }
    lines.join("\n")
}

fn json(call: &BenchCall, measured: &Measured) -> Json {
    let latency = &measured.latency;
    let mut times = serde_json::Map::new();
    times.insert("mean".to_owned(), json!(latency.mean() / 1e3));
    for (name, share) in PERCENTILES {
        times.insert(name.to_owned(), json!(micros(latency, share)));
    }
    times.insert("max".to_owned(), json!(latency.max() as f64 / 1e3));
    json!({
        "mode": call.mode.as_str(),
        "manager": call.manager,
        "other": call.other,
        "connections": call.connections,
        "in_flight": call.in_flight,
        "batch": call.batch,
        "value_bytes": call.value_size,
        "keys": call.keys,
        "users": call.users,
        "writes_percent": if call.other { 0 } else { call.writes },
        "rate": call.rate,
        "seconds": measured.elapsed.as_secs_f64(),
        "requests": measured.requests,
        "operations": measured.operations,
        "operations_per_second": rate(measured),
        "server_cpu_us_per_operation": cpu_each(measured),
        "timed": latency.len(),
        "latency_us": times,
    })
}
