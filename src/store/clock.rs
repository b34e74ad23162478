//! The one place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{UnixMillis, whole_millis};

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
        start_time: UnixMillis,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_time = UnixMillis::new(whole_millis(since_epoch));
        Self(Source::System { start: Instant::now(), start_time })
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it, for tests.
    pub fn manual(now: UnixMillis) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(now.as_u64()))))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> UnixMillis {
        self.at(Instant::now())
    }

    /// What it showed at an instant that somebody has read already; a manual clock: what it shows
    /// now.
    pub fn at(&self, instant: Instant) -> UnixMillis {
        match &self.0 {
            Source::System { start, start_time } => {
                start_time.saturating_add(instant.saturating_duration_since(*start))
            }
            Source::Manual(now) => UnixMillis::new(now.load(Ordering::Acquire)),
        }
    }

    /// Whether only [`advance`](Self::advance) moves it.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock, and all its clones, forward; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(whole_millis(by), Ordering::AcqRel);
        }
    }
}
