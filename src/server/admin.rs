//! The pages for whoever runs the server: metrics and health.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use super::compose::Metrics;

/// `/metrics`; `/healthz`, which is 200 while the process lives; `/readyz`, which is 503 before it
/// serves, from the first sign of its stop, and while the stores' engine does not answer: as the
/// health service says.
pub(super) fn pages(
    metrics: Metrics,
    ready: watch::Receiver<bool>,
    engine: Option<watch::Receiver<bool>>,
) -> Router {
    let metrics = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics())
    };
    let readiness = move || async move {
        if *ready.borrow() && engine.as_ref().is_none_or(|engine| *engine.borrow()) {
            (StatusCode::OK, "ready\n").into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not serving\n").into_response()
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
}
