//! Points in time and times to live.

use std::fmt;
use std::time::Duration;

use super::limits::{MAX_TTL, MIN_TTL};
use super::{Error, Reason, Result};

/// Point in time, in whole milliseconds since the Unix epoch. Its arithmetic saturates at both
/// ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// Point in time that lies `millis` milliseconds after the Unix epoch.
    #[inline]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Point in time `duration` later; parts of a millisecond are dropped.
    #[inline]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// Point in time `duration` earlier; parts of a millisecond are dropped.
    #[inline]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }

    /// Time that has passed since `earlier`; zero if `earlier` is later.
    #[inline]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whole milliseconds of a duration, at most `u64::MAX`.
#[inline]
pub fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Expiry of a key, as its writer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// Time to live, counted from the write.
    After(Duration),
    /// Point in time.
    At(UnixMillis),
}

impl Expiry {
    /// Returns the point in time at which a key written at `now` expires.
    ///
    /// A point in time that has passed is returned unchanged. The store refuses it, with
    /// [`Expiry::passed`], once it knows that the write is not a retry of one that came in time.
    ///
    /// # Errors
    /// `INVALID_TTL` for an expiry less than 1 ms or more than 10 years away.
    pub fn resolve(self, now: UnixMillis) -> Result<UnixMillis> {
        let ttl = match self {
            Self::After(ttl) => Duration::from_millis(whole_millis(ttl)),
            Self::At(time) if time <= now => return Ok(time),
            Self::At(time) => time.duration_since(now),
        };
        if ttl < MIN_TTL {
            return Err(invalid("ttl is zero; it must be 1 ms to 10 years", "ttl"));
        }
        if ttl > MAX_TTL {
            return Err(invalid("ttl is over 10 years; it must be 1 ms to 10 years", "ttl"));
        }
        Ok(now.saturating_add(ttl))
    }

    /// `INVALID_TTL` for a point in time that has passed.
    pub fn passed() -> Error {
        invalid("expire_time has passed; it must be 1 ms to 10 years from now", "expire_time")
    }

    /// `INVALID_TTL` for a time to live that is negative, or no valid time.
    pub fn invalid(field: &'static str) -> Error {
        invalid(
            "the expiry is negative or no valid time; it must be 1 ms to 10 years from now",
            field,
        )
    }
}

fn invalid(message: &'static str, field: &'static str) -> Error {
    Error::new(Reason::InvalidTtl, message).in_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let (time, second) = (UnixMillis::new(500), Duration::from_secs(1));
        assert_eq!(time.saturating_add(second), UnixMillis::new(1_500));
        assert_eq!(time.saturating_sub(second), UnixMillis::new(0));
        assert_eq!(UnixMillis::new(u64::MAX).saturating_add(second), UnixMillis::new(u64::MAX));
        assert_eq!(time.saturating_add(Duration::MAX), UnixMillis::new(u64::MAX));
        assert_eq!(time.saturating_add(Duration::from_micros(1_999)), UnixMillis::new(501));
        assert_eq!(time.duration_since(UnixMillis::new(200)), Duration::from_millis(300));
        assert_eq!(time.duration_since(UnixMillis::new(501)), Duration::ZERO);
        assert_eq!(whole_millis(Duration::MAX), u64::MAX);
    }
}
