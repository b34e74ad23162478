//! Notifications for a service manager, as sd_notify(3) has them; without `NOTIFY_SOCKET`, none.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::app::Addresses;

/// Maximum wait for a service manager that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells that the server serves, and where.
pub(super) async fn ready(addresses: &Addresses) {
    let status = format!("ready: {addresses}");
    send(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

/// Tells that the server stops.
pub(super) async fn stopping() {
    let status = "stopping: running calls may finish";
    send(move || sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)])).await;
}

/// Tells at twice the rate asked for that the main thread, which accepts connections, is alive.
pub(super) async fn watchdog() -> Infallible {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return std::future::pending().await;
    };
    let mut ticks = interval(within / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        send(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
    }
}

/// Sends on a thread of its own: the socket waits for its reader.
async fn send(notify: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match timeout(PATIENCE, spawn_blocking(notify)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the service manager cannot be told"),
        Ok(Err(error)) => tracing::error!(%error, "the notification panicked"),
        Err(_) => tracing::warn!("the service manager took no notification within {PATIENCE:?}"),
    }
}
