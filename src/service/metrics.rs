//! What the server counts, in the Prometheus text format.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Service;
use crate::model::{Method, Reason};

/// In seconds: an own key is answered within microseconds, a password within a tenth of a second,
/// and 10 s is the longest call.
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

/// The listener whose calls are all shown from the start, at zero.
const GRPC: &str = "grpc";

/// The handles of one RPC at one listener.
struct Call {
    count: Counter,
    duration: Histogram,
}

/// The series of all listeners.
#[derive(Clone)]
struct Families {
    counts: Family<CallLabels, Counter>,
    durations: Family<CallLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
}

/// What a listener counts. Its handles are resolved once, at the first call of each command, so that a
/// listener shows what it has.
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

/// The counters of the service and the gauges of the server around it.
pub struct Metrics {
    registry: Registry,
    families: Families,
    grpc: ProtocolCalls,
    panics: Counter,
    connections: Family<ProtocolLabels, Gauge>,
    sessions: Gauge<u64, AtomicU64>,
    users: Gauge<u64, AtomicU64>,
    keys: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    change_bytes: Gauge<u64, AtomicU64>,
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
        registry.register("connections", "Open connections, by protocol", connections.clone());
        registry.register("sessions", "Open sessions", sessions.clone());
        registry.register("users", "Users, accounts included", users.clone());
        registry.register("keys", "Keys in all stores", keys.clone());
        registry.register("stored_bytes", "What all stores count against the total", bytes.clone());
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
            connections,
            sessions,
            users,
            keys,
            bytes,
            change_bytes,
            rooms,
            history_bytes,
        }
    }

    /// Counts an answered call of the gRPC listener.
    pub fn answered(&self, method: Method, duration: Duration) {
        self.grpc.answered(method, duration);
    }

    /// Counts a failure at the gRPC listener.
    pub fn failed(&self, method: Method, reason: Reason) {
        self.grpc.failed(method, reason);
    }

    /// What counts the calls of another listener.
    pub fn protocol(&self, protocol: &'static str) -> ProtocolCalls {
        ProtocolCalls::new(protocol, self.families.clone())
    }

    /// Counts a fault of ours that was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Says how many connections a listener has.
    pub fn set_connections(&self, protocol: &'static str, count: usize) {
        self.connections
            .get_or_create(&ProtocolLabels { protocol })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl Service {
    /// All of it as text, in the OpenMetrics format that Prometheus reads.
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
        metrics.rooms.set(self.rooms.len());
        metrics.history_bytes.set(self.rooms.history_bytes());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry)?;
        Ok(text)
    }
}
