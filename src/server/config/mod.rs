//! The configuration: as it was given (flags, `KVRPC_…` variables, a TOML file) and as it was checked.
//!
//! `flags` and `file` read what was given, `sources` looks a setting up in all of them, `check` makes the [`Config`] and
//! collects every mistake on the way.

mod accounts;
mod check;
mod doors;
mod file;
mod flags;
mod parse;
mod sources;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use crate::listen::Address;
use crate::listen::http::HttpLimits;
use crate::model::{Role, UpgradePolicy};

pub use doors::{Compat, CompatDoor};
pub use flags::{Invocation, NewPassword, invocation};
pub use sources::{RawConfig, Wrong};

/// Everything that can be set, checked. Only [`RawConfig::check`] makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where gRPC is served; at least one.
    pub listen: Vec<Address>,
    /// Where metrics and health are, if anywhere.
    pub admin_listen: Option<Address>,
    /// The doors of the older protocols.
    pub compat: Compat,
    /// The files for TLS; none is plaintext.
    pub tls: Option<TlsFiles>,
    /// Origins whose pages may call from a browser.
    pub allow_origins: Vec<HeaderValue>,
    /// Threads that serve connections, at least 1.
    pub threads: usize,
    /// What running calls get when the server stops, before they are cut.
    pub grace: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// The most connections of each door, before the process's descriptors are counted.
    pub connections: usize,
    /// What an HTTP connection may take, and how long.
    pub http: HttpLimits,
    /// What the service needs.
    pub service: ServiceConfig,
    /// What is allowed and still worth a warning at start.
    pub warnings: Vec<String>,
    /// The settings in effect as a TOML file, each with where it came from.
    pub effective: String,
}

/// The service's part.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Which engine keeps the stores.
    pub store: StoreEngine,
    /// Who may promote a guest.
    pub upgrade_policy: UpgradePolicy,
    /// Who signs in with a password; no two names are equal.
    pub accounts: Vec<Account>,
    /// Quotas, rates, times.
    pub limits: Limits,
}

/// An engine that keeps stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEngine {
    /// This process's memory.
    Memory,
}

/// A user with a password.
#[derive(Clone)]
pub struct Account {
    /// A valid user name, and none that a socket client could have.
    pub name: String,
    /// An Argon2id hash in PHC format, with bounded cost.
    pub password_hash: String,
    /// The role that signing in gives.
    pub role: Role,
}

// The hash stays out of logs.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// What users may take of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys in a user's store.
    pub keys_per_user: u64,
    /// Bytes of keys and values in a user's store.
    pub bytes_per_user: u64,
    /// Bytes of all stores together.
    pub store_bytes: u64,
    /// Sessions open at once.
    pub sessions: usize,
    /// SignIns from one source in a second.
    pub sign_ins_per_second: u32,
    /// Failed Auths of one user from one source before it has to wait.
    pub auth_failure_burst: u32,
    /// After that, one more failure in this time.
    pub auth_failure_interval: Duration,
    /// What a guest's session outlives its last call by.
    pub guest_idle: Duration,
    /// How long an account's session lasts.
    pub account_session: Duration,
    /// What a unary call may take; a client's shorter deadline holds too.
    pub call_timeout: Duration,
    /// How often a stream that stays open has a heartbeat.
    pub heartbeat: Duration,
    /// Chat messages of a user in a second.
    pub chat_messages_per_second: u32,
    /// Chat messages of a user at once, after a rest.
    pub chat_burst: u32,
    /// Rooms at a time.
    pub rooms: u32,
    /// Rooms that a user is in, and that it made.
    pub rooms_per_user: u32,
    /// Members of a room.
    pub members_per_room: u32,
    /// Messages that a room keeps.
    pub room_history: u32,
    /// Bytes that a room keeps.
    pub room_history_bytes: u64,
    /// Bytes that all rooms together keep.
    pub history_bytes: u64,
    /// What a room outlives its last use by.
    pub room_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_per_user: 1_000_000,
            bytes_per_user: 256 << 20,
            store_bytes: parse::four_fifths_of_memory(),
            sessions: 100_000,
            sign_ins_per_second: 100,
            auth_failure_burst: 10,
            auth_failure_interval: Duration::from_secs(6),
            guest_idle: Duration::from_secs(30 * 60),
            account_session: Duration::from_secs(12 * 60 * 60),
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

/// The files that TLS is made of, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those that lead to its root.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// Roots that clients' certificates must lead to; with it, a client without one is refused.
    pub client_ca: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines there are, as in `info` or `warn,kvrpc=debug`.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The format's name, as `--log` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests;
