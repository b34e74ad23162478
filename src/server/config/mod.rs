//! The configuration, from flags, `KVRPC_…` variables and a TOML file.
//!
//! `flags` and `file` read the sources, `sources` looks settings up in them, `check` returns the
//! [`Config`] or all mistakes.

mod accounts;
mod check;
mod compat;
mod file;
mod flags;
mod limits;
mod parse;
mod sources;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use crate::listen::Address;
use crate::listen::http::HttpLimits;
use crate::model::{Limits, Role, UpgradePolicy};
use crate::store::redis::RedisOptions;

pub use compat::{Compat, CompatListener};
pub use flags::{Invocation, NewPassword, invocation};
pub use sources::{ConfigError, RawConfig};

/// The checked configuration. Only [`RawConfig::check`] creates one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Addresses of the gRPC listeners; at least one.
    pub listen: Vec<Address>,
    /// Address of the metrics and health pages, if they are served.
    pub admin_listen: Option<Address>,
    /// The listeners of the legacy protocols.
    pub compat: Compat,
    /// The files for TLS; `None` for plaintext.
    pub tls: Option<TlsFiles>,
    /// Number of threads that serve connections, at least 1.
    pub threads: usize,
    /// Time for running calls to finish when the server stops.
    pub grace: Duration,
    /// Time for which new connections and calls are still taken when the server stops, before
    /// `grace` begins.
    pub drain_delay: Duration,
    /// Format and filter of the log.
    pub log: Log,
    /// Maximum number of connections of each protocol; the process's descriptors may allow fewer.
    pub connections: usize,
    /// Limits of an HTTP connection, and the browsers' pages that may call.
    pub http: HttpLimits,
    /// The service's part.
    pub service: ServiceConfig,
    /// Risks that are allowed and logged at start.
    pub warnings: Vec<String>,
    /// The settings in effect as a TOML file, each with its source.
    pub effective: String,
}

/// The service's part of the configuration.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The engine that keeps the stores.
    pub store: StoreEngine,
    /// The users who may promote a guest.
    pub upgrade_policy: UpgradePolicy,
    /// Users with a password; their names differ.
    pub accounts: Vec<AccountConfig>,
    /// The limits; by default all stores together may have 80 % of the machine's memory.
    pub limits: Limits,
}

/// An engine that keeps stores.
#[derive(Clone, Debug)]
pub enum StoreEngine {
    /// The memory of this process.
    Memory,
    /// Redis, which several servers can share.
    Redis(RedisOptions),
}

/// A user with a password.
#[derive(Clone)]
pub struct AccountConfig {
    /// A valid user name that no socket client can have.
    pub name: String,
    /// An Argon2id hash in PHC format, with bounded cost.
    pub password_hash: String,
    /// The role that signing in grants.
    pub role: Role,
}

// Without the hash, which must not be logged.
impl std::fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The files for TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// Root certificates of clients; if set, a client without a certificate of theirs is refused.
    pub client_ca: Option<PathBuf>,
}

/// Format and filter of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The format of a line.
    pub format: LogFormat,
    /// The filter, as in `info` or `warn,kvrpc=debug`.
    pub filter: String,
}

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Returns the name that `--log` takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests;
