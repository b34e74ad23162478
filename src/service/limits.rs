//! The limits that the service holds.

use std::time::Duration;

/// The service's limits; [`Default`] gives those of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most keys in a user's store.
    pub keys_per_user: u64,
    /// The most bytes in a user's store; each key counts its own, its value's and
    /// [`ENTRY_OVERHEAD_BYTES`](crate::store::ENTRY_OVERHEAD_BYTES).
    pub bytes_per_user: u64,
    /// The most bytes in all stores together, counted in the same way.
    pub bytes_total: u64,
    /// The most sessions at a time.
    pub sessions: u64,
    /// How long a guest's session lives unused.
    pub guest_idle: Duration,
    /// How long an account's session lives.
    pub account_session: Duration,
    /// How many sign-ins one source may make in a second, and at once.
    pub sign_ins_per_second: u32,
    /// How many wrong passwords for one user from one source are let pass at once.
    pub auth_failure_burst: u32,
    /// After how long one more wrong password is let pass.
    pub auth_failure_interval: Duration,
    /// How many passwords may wait to be checked.
    pub auth_queue: usize,
    /// How long a unary call may take.
    pub call_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_per_user: 1_000_000,
            bytes_per_user: 256 << 20,
            bytes_total: 1 << 30,
            sessions: 100_000,
            guest_idle: Duration::from_secs(30 * 60),
            account_session: Duration::from_secs(12 * 60 * 60),
            sign_ins_per_second: 100,
            auth_failure_burst: 10,
            auth_failure_interval: Duration::from_secs(6),
            auth_queue: 64,
            call_timeout: Duration::from_secs(10),
        }
    }
}
