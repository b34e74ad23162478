//! Periodic work: ends expired sessions and rooms, and frees the memory of expired keys.

use std::time::Duration;

use super::Service;

/// Interval at which [`Service::sweep`] is to be called.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

impl Service {
    /// Runs one short step; to be called every [`SWEEP_INTERVAL`].
    pub fn sweep(&self) {
        self.registry.sweep();
        self.engine.sweep();
        self.rooms.sweep();
    }

    /// Forgets the rates of sources that are at rest; to be called every minute.
    pub fn sweep_rates(&self) {
        self.rates.sweep();
    }
}
