//! What is done from time to time: ending sessions and rooms whose time is over, and giving back
//! what has expired.

use std::time::Duration;

use super::Service;

/// How often [`Service::sweep`] wants to be called.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

impl Service {
    /// One short step; called every [`SWEEP_INTERVAL`].
    pub fn sweep(&self) {
        self.registry.sweep();
        self.engine.sweep();
        self.rooms.sweep();
    }

    /// Forgets the sources that signed in long ago; called every minute.
    pub fn sweep_rates(&self) {
        self.rates.sweep();
    }
}
