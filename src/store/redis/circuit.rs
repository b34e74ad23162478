//! Circuit breaker of a node.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use parking_lot::Mutex;

/// Number of calls in a row without an answer in time after which the node counts as dead.
const LATE_IN_A_ROW: u32 = 3;

/// Circuit breaker: while it is open, only probes are sent to the node, so that a dead one delays
/// no call. Probes are sent with exponential back-off and jitter.
pub(super) struct Circuit {
    open: AtomicBool,
    late: AtomicU32,
    probes: Mutex<Option<Probes>>,
}

struct Probes {
    waits: ExponentialBackoff,
    next: Instant,
}

impl Circuit {
    pub(super) const fn new() -> Self {
        Self { open: AtomicBool::new(false), late: AtomicU32::new(0), probes: Mutex::new(None) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Records an answer; closes the circuit.
    pub(super) fn answered(&self) {
        if self.late.load(Ordering::Relaxed) != 0 {
            self.late.store(0, Ordering::Relaxed);
        }
        if self.is_open() {
            *self.probes.lock() = None;
            self.open.store(false, Ordering::Release);
        }
    }

    /// Records an answer that did not come in time. Returns true if the node counts as dead.
    pub(super) fn late(&self) -> bool {
        let dead = self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_IN_A_ROW;
        if dead {
            self.failed();
        }
        dead
    }

    /// Records that the node cannot be reached; opens the circuit.
    pub(super) fn failed(&self) {
        let mut probes = self.probes.lock();
        let probes = probes.get_or_insert_with(|| {
            let builder = ExponentialBuilder::new().with_min_delay(Duration::from_millis(50));
            let builder =
                builder.with_max_delay(Duration::from_secs(1)).without_max_times().with_jitter();
            Probes { waits: builder.build(), next: Instant::now() }
        });
        probes.next = Instant::now() + probes.waits.next().unwrap_or(Duration::from_secs(1));
        self.open.store(true, Ordering::Release);
    }

    /// Returns true if a probe is due.
    pub(super) fn wants_probe(&self) -> bool {
        self.is_open()
            && self.probes.lock().as_ref().is_none_or(|probes| probes.next <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_late_thrice_in_a_row_is_dead_until_it_answers() {
        let circuit = Circuit::new();
        assert!(!circuit.late() && !circuit.late());
        circuit.answered();
        assert!(!circuit.late() && !circuit.late() && !circuit.is_open());
        assert!(circuit.late() && circuit.is_open());
        assert!(!circuit.wants_probe(), "not at once");
        circuit.answered();
        assert!(!circuit.is_open() && !circuit.wants_probe());
    }
}
