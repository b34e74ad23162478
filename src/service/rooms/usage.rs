//! A user's use of the rooms.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::model::Limits;

/// Counters of the rooms in this process, and the user's message rate.
#[derive(Default)]
pub(in crate::service) struct RoomUsage {
    /// Rooms of which the user is a member.
    pub(super) joined: RoomCount,
    /// Existing rooms that the user created.
    pub(super) created: RoomCount,
    pub(in crate::service) rate: ChatRateLimit,
}

/// A number of rooms, with a limit.
#[derive(Default)]
pub(super) struct RoomCount(AtomicU32);

impl RoomCount {
    /// Adds one; returns false if that would exceed the limit.
    pub(super) fn add(&self, limit: u32) -> bool {
        let more = |count: u32| (count < limit).then_some(count.saturating_add(1));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Subtracts one.
    pub(super) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns true if one more would exceed the limit.
    pub(super) fn is_full(&self, limit: u32) -> bool {
        self.0.load(Ordering::Acquire) >= limit
    }
}

/// A user's message rate. Allocated with the user's first message, since most users send none.
#[derive(Default)]
pub(in crate::service) struct ChatRateLimit(OnceLock<Box<DefaultDirectRateLimiter>>);

impl ChatRateLimit {
    /// Counts a message.
    ///
    /// # Errors
    /// The time to wait before the message may be sent; it has not been counted.
    pub(in crate::service) fn check(&self, limits: &Limits) -> Result<(), Duration> {
        let rate = self.0.get_or_init(|| {
            let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(number(limits.chat_messages_per_second));
            Box::new(RateLimiter::direct(quota.allow_burst(number(limits.chat_burst))))
        });
        rate.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}
