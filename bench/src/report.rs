//! The result of a load, as a table or as JSON.

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use crate::args::{Format, Mode, Options};
use crate::drive::Measured;

/// Reported percentiles of the latency.
const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// A percentile in microseconds.
fn micros(latency: &Histogram<u64>, percentile: f64) -> f64 {
    latency.value_at_percentile(percentile) as f64 / 1e3
}

/// Operations a second.
fn rate(measured: &Measured) -> f64 {
    measured.operations as f64 / measured.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// CPU time of the server for one operation, in microseconds.
fn cpu_each(measured: &Measured) -> Option<f64> {
    let operations = measured.operations.max(1) as f64;
    measured.server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / operations)
}

/// The report of a load in the chosen format.
pub(crate) fn print(options: &Options, measured: &Measured) -> String {
    match options.output {
        Format::Text => text(options, measured),
        Format::Json => format!("{:#}", json(options, measured)),
    }
}

fn who(options: &Options) -> &'static str {
    match (options.manager, options.other) {
        (false, false) => "guest",
        (true, false) => "manager",
        (false, true) => "guest, another's store",
        (true, true) => "manager, another's store",
    }
}

fn text(options: &Options, measured: &Measured) -> String {
    let latency = &measured.latency;
    let loop_ = match options.rate {
        Some(rate) => format!("{rate} operations a second due"),
        None => "closed loop".to_owned(),
    };
    let unit = if options.mode == Mode::Chat { "delivery" } else { "request" };
    let mut lines = vec![
        format!(
            "{} as {}: {} connections × {} in flight × {} operations a request, \
             values of {} B, {loop_}",
            options.mode.as_str(),
            who(options),
            options.connections,
            options.in_flight,
            options.batch(),
            options.value_size,
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

fn json(options: &Options, measured: &Measured) -> Json {
    let latency = &measured.latency;
    let mut times = serde_json::Map::new();
    times.insert("mean".to_owned(), json!(latency.mean() / 1e3));
    for (name, share) in PERCENTILES {
        times.insert(name.to_owned(), json!(micros(latency, share)));
    }
    times.insert("max".to_owned(), json!(latency.max() as f64 / 1e3));
    json!({
        "mode": options.mode.as_str(),
        "manager": options.manager,
        "other": options.other,
        "connections": options.connections,
        "in_flight": options.in_flight,
        "batch": options.batch(),
        "value_bytes": options.value_size,
        "keys": options.keys,
        "users": options.users,
        "writes_percent": if options.other { 0 } else { options.writes },
        "rate": options.rate,
        "seconds": measured.elapsed.as_secs_f64(),
        "requests": measured.requests,
        "operations": measured.operations,
        "operations_per_second": rate(measured),
        "server_cpu_us_per_operation": cpu_each(measured),
        "timed": latency.len(),
        "latency_us": times,
    })
}
