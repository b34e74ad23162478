//! The admin pages: metrics and health.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use super::compose::MetricsText;

/// Returns the router of `/metrics`, `/healthz` and `/readyz`. `/healthz` is 200 while the process
/// lives. `/readyz` is 503 before the server is ready, once it begins to stop, and while the
/// store's engine does not answer; the gRPC health service reports the same.
pub(super) fn pages(
    metrics: MetricsText,
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
