//! The test harness: servers inside this process and outside, clients, certificates, waiting.

mod certificates;
mod clients;
mod probe;
mod process;
mod redis;
mod server;

use std::future::Future;
use std::time::Duration;

pub(crate) use certificates::Authority;
pub(crate) use clients::{connect, exchange, http2, http2_full, read_all, tls_connect};
pub(crate) use probe::probe;
pub(crate) use process::{ServerProcess, receive};
pub(crate) use redis::{RedisCluster, RedisProcess, new_namespace, shared_cluster, shared_redis};
pub(crate) use server::{Builder, Server};

/// Maximum wait for an expected event. Long, because a busy machine is not a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `work`; fails the test after [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Repeats a check until it returns true; fails the test after [`PATIENCE`].
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let mut turns = tokio::time::interval(Duration::from_millis(5));
    within(what, async {
        while !ask().await {
            turns.tick().await;
        }
    })
    .await;
}
