//! Points in time and times to live.

use std::time::Duration;

use super::limits::MAX_TTL;
use super::{Error, Reason, Result};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// When a key goes, as its writer said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// So long after the write.
    After(Duration),
    /// At this time.
    At(Millis),
}

impl Expiry {
    /// The time at which the key goes, for a write at `now`. A point in time that has passed is
    /// given as it is: it is the store's to refuse, with [`Expiry::passed`], once it knows that the
    /// write is no retry of one that came in time.
    ///
    /// # Errors
    /// `INVALID_TTL` for what is less than 1 ms or more than 10 years away.
    pub fn resolve(self, now: Millis) -> Result<Millis> {
        let ttl = match self {
            Self::After(ttl) => u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            Self::At(time) if time <= now => return Ok(time),
            Self::At(time) => time - now,
        };
        if ttl == 0 {
            return Err(invalid("ttl is zero; it must be 1 ms to 10 years", "ttl"));
        }
        if u128::from(ttl) > MAX_TTL.as_millis() {
            return Err(invalid("ttl is over 10 years; it must be 1 ms to 10 years", "ttl"));
        }
        Ok(now.saturating_add(ttl))
    }

    /// The error of a point in time that has passed.
    pub fn passed() -> Error {
        invalid("expire_time has passed; it must be 1 ms to 10 years from now", "expire_time")
    }

    /// The error of a time to live that is negative or no time at all.
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
