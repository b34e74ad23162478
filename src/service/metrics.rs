//! Metrics in the Prometheus text format.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Service;
use crate::model::{Method, Reason};

/// Bucket bounds in seconds: a call on an own key takes microseconds, a password check a tenth of a
/// second, and the longest call 10 s.
const BUCKETS: [f64; 20] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    protocol: &'static str,
    service: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    protocol: &'static str,
    service: &'static str,
    method: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

/// Protocol whose calls are all shown from the start, at zero.
const GRPC: &str = "grpc";

/// Handles of one RPC's series.
struct Call {
    count: Counter,
    duration: Histogram,
}

/// Series of all protocols.
#[derive(Clone)]
struct Families {
    counts: Family<CallLabels, Counter>,
    durations: Family<CallLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
}

/// Call counters of one protocol. The handles of an RPC are resolved at its first call, so that a
/// protocol shows the RPCs that it has.
pub struct ProtocolCalls {
    protocol: &'static str,
    families: Families,
    calls: Vec<OnceLock<Call>>,
}

impl ProtocolCalls {
    fn new(protocol: &'static str, families: Families) -> Self {
        Self { protocol, families, calls: Method::ALL.iter().map(|_| OnceLock::new()).collect() }
    }

    fn call(&self, method: Method) -> Option<&Call> {
        let resolve = || {
            let labels = CallLabels {
                protocol: self.protocol,
                service: method.service(),
                method: method.name(),
            };
            let Families { counts, durations, .. } = &self.families;
            Call {
                count: counts.get_or_create_owned(&labels),
                duration: durations.get_or_create_owned(&labels),
            }
        };
        self.calls.get(method as usize).map(|call| call.get_or_init(resolve))
    }

    /// Counts an answered call.
    pub fn answered(&self, method: Method, duration: Duration) {
        if let Some(call) = self.call(method) {
            call.count.inc();
            call.duration.observe(duration.as_secs_f64());
        }
    }

    /// Counts a failure.
    pub fn failed(&self, method: Method, reason: Reason) {
        let labels = ErrorLabels {
            protocol: self.protocol,
            service: method.service(),
            method: method.name(),
            reason: reason.as_str(),
        };
        self.families.errors.get_or_create(&labels).inc();
    }
}

/// Counters of the service and gauges of the server around it.
pub struct Metrics {
    registry: Registry,
    families: Families,
    grpc: ProtocolCalls,
    panics: Counter,
    log_lines_dropped: Counter,
    connections: Family<ProtocolLabels, Gauge>,
    sessions: Gauge<u64, AtomicU64>,
    users: Gauge<u64, AtomicU64>,
    keys: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    change_bytes: Gauge<u64, AtomicU64>,
    clock_offset: Gauge<f64, AtomicU64>,
    rooms: Gauge<u64, AtomicU64>,
    history_bytes: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("kvrpc");
        let counts = Family::<CallLabels, Counter>::default();
        registry.register(
            "calls",
            "Calls answered, by protocol; streams when they end",
            counts.clone(),
        );
        let durations =
            Family::<CallLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let help = "From a call's headers to the end of its answer; of a stream, to its beginning";
        registry.register_with_unit("call_duration", help, Unit::Seconds, durations.clone());
        let (panics, connections) = (Counter::default(), Family::default());
        let errors = Family::<ErrorLabels, Counter>::default();
        let (sessions, users, keys, bytes) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "errors",
            "Calls that failed, by protocol and by the reason of their ErrorInfo",
            errors.clone(),
        );
        registry.register("panics", "Calls that ended in a fault of the server", panics.clone());
        let log_lines_dropped = Counter::default();
        let help = "Lines of the log that stderr took too slowly or not";
        registry.register("log_lines_dropped", help, log_lines_dropped.clone());
        registry.register("connections", "Open connections, by protocol", connections.clone());
        registry.register("sessions", "Open sessions", sessions.clone());
        registry.register("users", "Users, accounts included", users.clone());
        registry.register("keys", "Keys in all stores", keys.clone());
        registry.register("stored_bytes", "What all stores count against the total", bytes.clone());
        let clock_offset = Gauge::<f64, AtomicU64>::default();
        registry.register(
            "engine_clock_offset_seconds",
            "Seconds by which the engine's clock is ahead of this machine's",
            clock_offset.clone(),
        );
        let (change_bytes, rooms, history_bytes) =
            (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "kept_change_bytes",
            "What is kept of the stores' changes for watches",
            change_bytes.clone(),
        );
        registry.register(
            "rooms",
            "Rooms of the chat; of shared ones those with a member here",
            rooms.clone(),
        );
        registry.register("history_bytes", "What is kept here of all rooms", history_bytes.clone());
        let families = Families { counts, durations, errors };
        let grpc = ProtocolCalls::new(GRPC, families.clone());
        for method in Method::ALL {
            grpc.call(*method);
        }
        Self {
            registry,
            families,
            grpc,
            panics,
            log_lines_dropped,
            connections,
            sessions,
            users,
            keys,
            bytes,
            change_bytes,
            clock_offset,
            rooms,
            history_bytes,
        }
    }

    /// Counts an answered gRPC call.
    pub fn answered(&self, method: Method, duration: Duration) {
        self.grpc.answered(method, duration);
    }

    /// Counts a failed gRPC call.
    pub fn failed(&self, method: Method, reason: Reason) {
        self.grpc.failed(method, reason);
    }

    /// Returns the counters of another protocol.
    pub fn protocol(&self, protocol: &'static str) -> ProtocolCalls {
        ProtocolCalls::new(protocol, self.families.clone())
    }

    /// Counts a panic that was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Sets the number of lines that the log has dropped.
    pub fn set_log_lines_dropped(&self, count: u64) {
        self.log_lines_dropped.inner().store(count, Ordering::Relaxed);
    }

    /// Sets the number of a protocol's open connections.
    pub fn set_connections(&self, protocol: &'static str, count: usize) {
        self.connections
            .get_or_create(&ProtocolLabels { protocol })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl Service {
    /// Returns all metrics as text, in the OpenMetrics format.
    ///
    /// # Errors
    /// As the formatter.
    pub fn metrics_text(&self) -> Result<String, fmt::Error> {
        let metrics = &self.metrics;
        metrics.sessions.set(self.registry.session_count());
        metrics.users.set(self.registry.user_count() as u64);
        let usage = self.engine.usage();
        metrics.keys.set(usage.keys);
        metrics.bytes.set(usage.bytes);
        metrics.change_bytes.set(self.engine.change_bytes());
        metrics.clock_offset.set(self.engine.clock_offset_seconds());
        metrics.rooms.set(self.rooms.len());
        metrics.history_bytes.set(self.rooms.history_bytes());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry)?;
        Ok(text)
    }
}
