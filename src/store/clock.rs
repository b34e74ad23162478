//! The one place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Millis;

/// The time for expiries, sessions and the access log. It never runs backwards: what has expired
/// stays so.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// The wall clock read once, and the monotonic clock from then on: an administrator who sets
    /// the clock does not bring expired keys back.
    System {
        start: Instant,
        start_millis: Millis,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self(Source::System { start: Instant::now(), start_millis })
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it, for tests.
    pub fn manual(now: Millis) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(now))))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// What it showed at an instant that somebody has read already; a manual clock: what it shows
    /// now.
    pub fn at(&self, instant: Instant) -> Millis {
        match &self.0 {
            Source::System { start, start_millis } => {
                let elapsed = instant.saturating_duration_since(*start);
                start_millis.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Manual(now) => now.load(Ordering::Acquire),
        }
    }

    /// Whether only [`advance`](Self::advance) moves it.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock, and all its clones, forward; a system clock stays as it is.
    pub fn advance(&self, millis: Millis) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(millis, Ordering::AcqRel);
        }
    }
}
