//! What one user takes of the rooms.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::service::limits::Limits;

/// A user's share: most users never talk, and pay two counters.
#[derive(Default)]
pub(in crate::service) struct Talk {
    /// How many rooms it is in.
    pub(super) joined: AtomicU32,
    /// How many rooms that are there it made.
    pub(super) made: AtomicU32,
    rate: OnceLock<Box<DefaultDirectRateLimiter>>,
}

impl Talk {
    /// Counts a message; or tells after how long it may be said.
    pub(in crate::service) fn may_say(&self, limits: &Limits) -> Result<(), Duration> {
        let rate = self.rate.get_or_init(|| {
            let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(number(limits.chat_messages_per_second));
            Box::new(RateLimiter::direct(quota.allow_burst(number(limits.chat_burst))))
        });
        rate.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Counts one more, unless there are as many as there may be.
pub(super) fn count(counter: &AtomicU32, limit: u32) -> bool {
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < limit).then_some(count.saturating_add(1))
        })
        .is_ok()
}

/// Counts one less.
pub(super) fn uncount(counter: &AtomicU32) {
    counter.fetch_sub(1, Ordering::AcqRel);
}
