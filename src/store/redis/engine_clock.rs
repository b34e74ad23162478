//! The engine's clock, which this server's follows.
//!
//! Expiries, sessions and leases are kept in the engine, so its clock decides when they end,
//! however the clocks of the servers are set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{Value, cmd};

use super::topology::{Topology, text};
use crate::model::{UnixMillis, whole_millis};
use crate::store::Clock;

/// Interval at which the engine is asked for its time.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Longest round trip by which the time is still known well enough.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(500);
/// Difference between the engine's and this machine's clock above which the operator is told.
const WARN_ABOVE_MILLIS: u64 = 1_000;

/// Difference that rounding to milliseconds makes.
const CLOCK_RESOLUTION_MILLIS: u64 = 1;

/// A node's time.
struct Reading {
    /// Milliseconds by which it is ahead of this server's clock.
    ahead: i64,
    time: UnixMillis,
    at: Instant,
    round_trip: Duration,
}

/// This server's view of the engine's clock.
#[derive(Default)]
pub(super) struct EngineClock {
    /// Milliseconds by which the engine's clock is ahead of this machine's.
    offset: AtomicI64,
}

impl EngineClock {
    /// Returns the seconds by which the engine's clock is ahead of this machine's.
    pub(super) fn offset_seconds(&self) -> f64 {
        let millis = self.offset.load(Ordering::Relaxed);
        let seconds = Duration::from_millis(millis.unsigned_abs()).as_secs_f64();
        if millis < 0 { -seconds } else { seconds }
    }

    /// Follows the engine's clock for ever.
    pub(super) async fn follow(&self, topology: &Arc<Topology>, clock: &Clock) {
        let mut told = false;
        loop {
            self.measure(topology, clock).await;
            let offset = self.offset.load(Ordering::Relaxed);
            let apart = offset.unsigned_abs() > WARN_ABOVE_MILLIS;
            if apart && !told {
                tracing::warn!(
                    offset_ms = offset,
                    "this machine's clock and the engine's differ; the engine's is used, set this \
                     one (NTP)"
                );
            }
            told = apart;
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Asks the masters for their time once, and sets the clock by the latest of them: so no node
    /// of a cluster ends anything early, if their clocks differ.
    pub(super) async fn measure(&self, topology: &Arc<Topology>, clock: &Clock) {
        let mut latest: Option<Reading> = None;
        for master in topology.masters() {
            if master.circuit.is_open() {
                continue;
            }
            let asked = Instant::now();
            let Ok(answer) = master.ask(&cmd("TIME"), false).await else { continue };
            let round_trip = asked.elapsed();
            let Some(time) = time(&answer).filter(|_| round_trip <= MAX_ROUND_TRIP) else {
                continue;
            };
            let at = asked + round_trip / 2;
            let ahead = signed_difference(time, clock.at(at));
            if latest.as_ref().is_none_or(|latest| ahead > latest.ahead) {
                latest = Some(Reading { ahead, time, at, round_trip });
            }
        }
        if let Some(Reading { ahead, time, at, round_trip }) = latest {
            // Half a round trip is not known better, and the clock would go to and fro by it.
            if ahead.unsigned_abs() > whole_millis(round_trip / 2) + CLOCK_RESOLUTION_MILLIS {
                clock.follow(time, at);
            }
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let wall = UnixMillis::new(whole_millis(since_epoch.saturating_sub(at.elapsed())));
            self.offset.store(signed_difference(time, wall), Ordering::Relaxed);
        }
    }
}

/// Reads the answer to TIME: seconds and microseconds.
fn time(answer: &Value) -> Option<UnixMillis> {
    let Value::Array(parts) = answer else { return None };
    let [seconds, micros] = parts.as_slice() else { return None };
    let number = |value: &Value| text(value)?.parse::<u64>().ok();
    Some(UnixMillis::new(number(seconds)?.checked_mul(1_000)? + number(micros)? / 1_000))
}

fn signed_difference(time: UnixMillis, other: UnixMillis) -> i64 {
    let millis = i128::from(time.as_u64()) - i128::from(other.as_u64());
    i64::try_from(millis).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_and_followed_in_both_directions() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = Value::Array(vec![text("1700000000"), text("123456")]);
        assert_eq!(time(&answer), Some(UnixMillis::new(1_700_000_000_123)));
        assert_eq!(time(&Value::Array(vec![text("x"), text("1")])), None);
        assert_eq!(time(&Value::Nil), None);
        let clock = Clock::system();
        let now = Instant::now();
        for hours in [-1_i64, 1] {
            let there = clock.at(now).as_u64().saturating_add_signed(hours * 3_600_000);
            clock.follow(UnixMillis::new(there), now);
            assert!(clock.at(now).as_u64().abs_diff(there) <= 1);
        }
    }
}
