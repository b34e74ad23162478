//! The one place where the server's parts are chosen and put together.

use std::sync::Arc;

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;

use super::app::Hooks;
use super::config::Config;
use super::task::Task;
use crate::listen::http::HttpService;

/// The metrics as text, in Prometheus' format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a server is made of, beside its sockets.
pub struct Parts<S> {
    /// Answers on the gRPC listeners.
    pub grpc: S,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What goes on beside the calls.
    pub tasks: Vec<Task>,
}

/// The parts that the configuration asks for.
pub(super) fn compose(_config: &Config, hooks: Hooks) -> Parts<impl HttpService + use<>> {
    let (reporter, health) = health_reporter();
    let mut ready = hooks.ready;
    let follow = async move {
        loop {
            let status = if *ready.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            if ready.changed().await.is_err() {
                return;
            }
        }
    };
    let gates = hooks.gates;
    let metrics = move || {
        let line = |gate: &Arc<crate::listen::Gate>| {
            format!("kvrpc_connections{{door=\"{}\"}} {}\n", gate.name(), gate.stats().open)
        };
        gates.iter().map(line).collect()
    };
    Parts { grpc: Routes::new(health), metrics: Arc::new(metrics), tasks: vec![Task::once(follow)] }
}
