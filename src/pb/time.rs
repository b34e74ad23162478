//! Durations and timestamps of the well-known types.

use std::time::Duration;

use crate::model::{Error, Expiry, Result, UnixMillis};

/// 9999-12-31T23:59:59Z, the last second that a Timestamp may hold
/// (google/protobuf/timestamp.proto).
const LAST_SECOND: i64 = 253_402_300_799;

/// A time to live, of whole milliseconds: what is below one is dropped.
pub(super) fn ttl(ttl: prost_types::Duration) -> Result<Expiry> {
    let seconds = u64::try_from(ttl.seconds).map_err(|_| Expiry::invalid("ttl"))?;
    let nanos = u32::try_from(ttl.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    Ok(Expiry::After(Duration::new(seconds, nanos.ok_or_else(|| Expiry::invalid("ttl"))?)))
}

/// An expiry at a point in time.
pub(super) fn expire_time(time: prost_types::Timestamp) -> Result<Expiry> {
    let invalid = || -> Error { Expiry::invalid("expire_time") };
    let seconds = u64::try_from(time.seconds)
        .ok()
        .filter(|_| time.seconds <= LAST_SECOND)
        .ok_or_else(invalid)?;
    let nanos = u64::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .ok_or_else(invalid)?;
    let millis = seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000);
    Ok(Expiry::At(UnixMillis::new(millis)))
}

/// A point in time.
pub(super) fn timestamp(time: UnixMillis) -> prost_types::Timestamp {
    let time = time.as_u64();
    prost_types::Timestamp {
        seconds: i64::try_from(time / 1_000).unwrap_or(LAST_SECOND),
        nanos: i32::try_from(time % 1_000 * 1_000_000).unwrap_or(0),
    }
}

/// A length of time.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
