//! Rates of sign-ins and of failed passwords, by source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

use crate::model::Limits;
use crate::model::source::network;
use crate::model::{Error, Reason, Result};

/// Number of sources, or pairs of user and source, above which those at rest are forgotten. Above
/// twice this number, new ones are refused.
const MAX_TRACKED: usize = 100_000;

/// Rates of SignIn and Auth.
pub(super) struct Rates {
    sign_ins: DefaultKeyedRateLimiter<IpAddr>,
    failures: Mutex<HashMap<(String, IpAddr), DefaultDirectRateLimiter>>,
    failure_quota: Option<Quota>,
    clock: DefaultClock,
}

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        let per_second = NonZeroU32::new(limits.sign_ins_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(limits.auth_failure_burst).unwrap_or(NonZeroU32::MIN);
        Self {
            sign_ins: RateLimiter::keyed(Quota::per_second(per_second)),
            failures: Mutex::default(),
            failure_quota: Quota::with_period(limits.auth_failure_interval)
                .map(|quota| quota.allow_burst(burst)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a sign-in.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the source made too many.
    pub(super) fn sign_in(&self, source: IpAddr) -> Result<()> {
        if self.sign_ins.len() > 2 * MAX_TRACKED {
            return Err(limited("too many sources sign in at once", Duration::from_secs(1)));
        }
        self.sign_ins.check_key(&network(source)).map_err(|until| {
            limited("too many sign-ins from this address", until.wait_time_from(self.clock.now()))
        })
    }

    /// Counts a password as wrong until [`password_was_right`](Self::password_was_right), so that
    /// concurrent attempts count too.
    ///
    /// # Errors
    /// `RATE_LIMITED` if there were too many wrong passwords.
    pub(super) fn password(&self, user: &str, source: IpAddr) -> Result<()> {
        let Some(quota) = self.failure_quota else { return Ok(()) };
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_TRACKED {
            failures.retain(|_, limiter| limiter_is_in_use(limiter, quota));
        }
        if failures.len() >= 2 * MAX_TRACKED {
            return Err(limited(
                "too many wrong passwords from everywhere",
                quota.replenish_interval(),
            ));
        }
        let limiter = failures
            .entry((user.to_owned(), network(source)))
            .or_insert_with(|| RateLimiter::direct(quota));
        limiter.check().map_err(|until| {
            limited(
                "too many wrong passwords for this user from this address",
                until.wait_time_from(self.clock.now()),
            )
        })
    }

    /// Forgets the wrong passwords of a user from a source.
    pub(super) fn password_was_right(&self, user: &str, source: IpAddr) {
        self.failures.lock().remove(&(user.to_owned(), network(source)));
    }

    /// Forgets the sources that are at rest.
    pub(super) fn sweep(&self) {
        self.sign_ins.retain_recent();
        if let Some(quota) = self.failure_quota {
            self.failures.lock().retain(|_, limiter| limiter_is_in_use(limiter, quota));
        }
    }
}

/// Returns true if part of the limiter's burst is used. One with its whole burst left is equal to a
/// new one.
fn limiter_is_in_use(limiter: &DefaultDirectRateLimiter, quota: Quota) -> bool {
    // Takes the whole burst, which fails if part of it is used. The caller drops a limiter at rest,
    // so the tokens taken do not matter.
    !matches!(limiter.check_n(quota.burst_size()), Ok(Ok(())))
}

pub(super) fn limited(what: &'static str, wait: Duration) -> Error {
    // Rounded up to whole milliseconds: a client that waits exactly so long must not be early.
    let wait = Duration::from_millis(
        u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1),
    );
    Error::new(Reason::RateLimited, format!("{what}; try again in {:.1} s", wait.as_secs_f64()))
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::new(&Limits {
            auth_failure_interval: Duration::from_secs(3_600),
            ..Limits::default()
        })
    }

    #[test]
    fn ten_wrong_passwords_pass_and_the_eleventh_waits() {
        let (rates, source) = (rates(), IpAddr::from([127, 0, 0, 1]));
        for _ in 0..10 {
            rates.password("adam", source).unwrap();
        }
        let refused = rates.password("adam", source).unwrap_err();
        assert_eq!(refused.reason(), Reason::RateLimited);
        assert!(refused.retry_wait().unwrap() > Duration::from_secs(3_500));
        rates.sweep();
        assert!(rates.password("adam", source).is_err(), "a sweep keeps what is in use");
        rates.password("eve", source).unwrap();
        rates.password("adam", IpAddr::from([127, 0, 0, 2])).unwrap();
        rates.password_was_right("adam", source);
        rates.password("adam", source).unwrap();
    }

    #[test]
    fn a_source_at_rest_is_forgotten() {
        let rates = Rates::new(&Limits {
            auth_failure_interval: Duration::from_nanos(1),
            ..Limits::default()
        });
        rates.password("adam", IpAddr::from([127, 0, 0, 1])).unwrap();
        rates.sweep();
        assert!(rates.failures.lock().is_empty());
    }
}
