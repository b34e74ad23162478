//! The configuration: as it was given (flags, `KVRPC_…` variables, a TOML file) and as it was
//! checked.
//!
//! `flags` and `file` read what was given, `sources` looks a setting up in all of them, `check`
//! makes the [`Config`] and collects every mistake on the way.

mod accounts;
mod check;
mod doors;
mod file;
mod flags;
mod limits;
mod parse;
mod sources;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use crate::listen::Address;
use crate::listen::http::HttpLimits;
use crate::model::{Limits, Role, UpgradePolicy};
use crate::store::redis::RedisOptions;

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
    /// Quotas, rates, times; the total of the stores by default 80 % of the machine's memory.
    pub limits: Limits,
}

/// An engine that keeps stores.
#[derive(Clone, Debug)]
pub enum StoreEngine {
    /// This process's memory.
    Memory,
    /// Redis, which any number of servers share.
    Redis(RedisOptions),
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
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
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
