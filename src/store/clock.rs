//! The clock: the only place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{UnixMillis, whole_millis};

/// Clock for expiries, sessions and the access log. It never runs backwards, so that what has
/// expired stays expired, unless it follows the clock of an engine that is set back: such an engine
/// sees to its expired keys itself.
#[derive(Clone, Debug)]
pub struct Clock(ClockSource);

#[derive(Clone, Debug)]
enum ClockSource {
    /// Wall clock, read once, and monotonic clock from then on: setting the machine's clock does
    /// not bring expired keys back.
    System(Arc<SystemClock>),
    /// Unix milliseconds.
    Manual(Arc<AtomicU64>),
}

#[derive(Debug)]
struct SystemClock {
    start: Instant,
    /// Unix milliseconds at `start`. Changed only to follow another clock.
    start_time: AtomicU64,
}

impl Clock {
    /// Makes the machine's clock.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_time = AtomicU64::new(whole_millis(since_epoch));
        Self(ClockSource::System(Arc::new(SystemClock { start: Instant::now(), start_time })))
    }

    /// Makes a clock that stands still until [`advance`](Self::advance) moves it, for tests.
    pub fn manual(now: UnixMillis) -> Self {
        Self(ClockSource::Manual(Arc::new(AtomicU64::new(now.as_u64()))))
    }

    /// Returns the current time.
    pub fn now(&self) -> UnixMillis {
        self.at(Instant::now())
    }

    /// Returns the time at an `instant` that was read before; of a manual clock, the current time.
    pub fn at(&self, instant: Instant) -> UnixMillis {
        match &self.0 {
            ClockSource::System(clock) => {
                let start_time = UnixMillis::new(clock.start_time.load(Ordering::Relaxed));
                start_time.saturating_add(instant.saturating_duration_since(clock.start))
            }
            ClockSource::Manual(now) => UnixMillis::new(now.load(Ordering::Acquire)),
        }
    }

    /// Returns true if only [`advance`](Self::advance) moves it.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, ClockSource::Manual(_))
    }

    /// Makes this clock and all its clones show `time` at `instant`, and go on from there. A clock
    /// that keeps expiries elsewhere is followed so. A manual clock is not changed.
    pub(crate) fn follow(&self, time: UnixMillis, instant: Instant) {
        if let ClockSource::System(clock) = &self.0 {
            let start_time = time.saturating_sub(instant.saturating_duration_since(clock.start));
            clock.start_time.store(start_time.as_u64(), Ordering::Relaxed);
        }
    }

    /// Moves a manual clock and all its clones forward, by whole milliseconds. A system clock is
    /// not changed.
    pub fn advance(&self, by: Duration) {
        if let ClockSource::Manual(now) = &self.0 {
            now.fetch_add(whole_millis(by), Ordering::AcqRel);
        }
    }
}
