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
    pub store_bytes: u64,
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
    /// How often a stream that stays open has a heartbeat.
    pub heartbeat: Duration,
    /// How many messages a user may say in a second.
    pub chat_messages_per_second: u32,
    /// How many of them at once, after a rest.
    pub chat_burst: u32,
    /// The most rooms at a time.
    pub rooms: u32,
    /// The most rooms that a user is in, and that it has made of those that are there.
    pub rooms_per_user: u32,
    /// The most members of a room.
    pub members_per_room: u32,
    /// How many messages a room keeps.
    pub room_history: u32,
    /// How many bytes a room keeps, comings and goings included.
    pub room_history_bytes: u64,
    /// How many bytes all rooms together keep.
    pub history_bytes: u64,
    /// How long a room outlives its last member and its last message.
    pub room_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_per_user: 1_000_000,
            bytes_per_user: 256 << 20,
            store_bytes: 1 << 30,
            sessions: 100_000,
            guest_idle: Duration::from_secs(30 * 60),
            account_session: Duration::from_secs(12 * 60 * 60),
            sign_ins_per_second: 100,
            auth_failure_burst: 10,
            auth_failure_interval: Duration::from_secs(6),
            auth_queue: 64,
            call_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            chat_messages_per_second: 200,
            chat_burst: 1_000,
            rooms: 10_000,
            rooms_per_user: 64,
            members_per_room: 10_000,
            room_history: 1_000,
            room_history_bytes: 1 << 20,
            history_bytes: 256 << 20,
            room_idle: Duration::from_secs(10 * 60),
        }
    }
}

impl Limits {
    /// Those of the stores.
    pub fn of_stores(&self) -> crate::store::StoreLimits {
        crate::store::StoreLimits {
            max_keys_per_user: self.keys_per_user,
            max_bytes_per_user: self.bytes_per_user,
            max_bytes_total: self.store_bytes,
        }
    }
}
