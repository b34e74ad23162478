//! The service: commands, authorisation, sessions and limits. Depends on `model` and `store`, and
//! on no listener, socket or protobuf type.

mod access_log;
mod authorize;
mod chat;
mod connection;
mod fingerprint;
mod key_value;
mod listing;
pub mod metrics;
mod page_token;
mod password;
mod rates;
mod registry;
mod roles;
pub mod rooms;
mod session;
mod sign_in;
mod sweep;
mod token;
mod user;
mod utilities;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub use authorize::{Caller, Handle, Subject};
pub use chat::RoomSubscription;
pub use connection::ConnectionSession;
pub use session::{Session, StreamGuard};
pub use sweep::SWEEP_INTERVAL;
pub use token::{TOKEN_CHARACTERS, TokenHash};
pub use user::{Privilege, User};
pub use watch::Watching;

pub use crate::store::feed::{Event, FeedItem};
pub use crate::store::{Change, ChangeKind};

use crate::model::method::for_each_command;
use crate::model::{
    Command, Limits, ListenerInfo, MAX_WAITING_PASSWORDS, Permissions, Reply, Result, Role,
    UpgradePolicy, UserName,
};
use crate::store::{Clock, Engine};

/// Account of the configuration.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name.
    pub name: UserName,
    /// Password as an Argon2id hash in PHC form.
    pub password_hash: String,
    /// Role.
    pub role: Role,
}

/// Parts of a service.
#[derive(Clone)]
pub struct Options {
    /// Accounts; their names differ.
    pub accounts: Vec<Account>,
    /// Policy for the promotion of guests.
    pub upgrade_policy: UpgradePolicy,
    /// Limits in force.
    pub limits: Limits,
    /// Source of the time.
    pub clock: Clock,
    /// Engine of the stores.
    pub engine: Engine,
}

/// The service behind all listeners: users, their sessions and their stores.
pub struct Service {
    registry: registry::Registry,
    passwords: password::Passwords,
    /// Names of the accounts, by the form in which names that look alike are the same.
    account_skeletons: HashMap<String, UserName>,
    rates: rates::Rates,
    page_tokens: page_token::PageTokens,
    engine: Engine,
    permissions: Permissions,
    rooms: rooms::Rooms,
    upgrade_policy: UpgradePolicy,
    limits: Limits,
    clock: Clock,
    metrics: metrics::Metrics,
    listeners: OnceLock<Vec<ListenerInfo>>,
}

impl Service {
    /// Creates a service with its accounts and no sessions.
    ///
    /// # Errors
    /// `NAME_IN_USE` for two accounts of one name; `STORE_UNAVAILABLE`; `INTERNAL` if the system
    /// gives no randomness.
    pub fn new(options: Options) -> Result<Self> {
        let Options { accounts, upgrade_policy, limits, clock, engine } = options;
        let hashes: HashMap<String, Arc<str>> = accounts
            .iter()
            .map(|account| {
                (account.name.folded().to_owned(), account.password_hash.as_str().into())
            })
            .collect();
        let account_skeletons = accounts
            .iter()
            .map(|account| (account.name.skeleton(), account.name.clone()))
            .collect();
        let registry = registry::Registry::new(&engine, &accounts, &limits, &clock)?;
        Ok(Self {
            page_tokens: page_token::PageTokens::with_key(registry.page_token_key()?),
            rooms: rooms::Rooms::new(limits.clone(), clock.clone(), &engine),
            passwords: password::Passwords::new(hashes, MAX_WAITING_PASSWORDS)?,
            rates: rates::Rates::new(&limits),
            account_skeletons,
            registry,
            engine,
            permissions: Permissions::default(),
            upgrade_policy,
            limits,
            clock,
            metrics: metrics::Metrics::new(),
            listeners: OnceLock::new(),
        })
    }

    /// Sets the addresses that GetServerInfo lists. To be called once, when all are bound.
    pub fn set_listeners(&self, listeners: Vec<ListenerInfo>) {
        // A second call would be a programming error; the first list stays.
        let _ = self.listeners.set(listeners);
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &metrics::Metrics {
        &self.metrics
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the source of the time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns a receiver that is true while the engine answers; `None` for the memory engine.
    pub fn engine_health(&self) -> Option<tokio::sync::watch::Receiver<bool>> {
        self.engine.health()
    }

    /// Runs a command of any kind.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn execute_command(&self, caller: &Caller, command: Command) -> Result<Reply> {
        macro_rules! run {
            ($($name:ident)+) => {
                match command {
                    $(Command::$name(request) => {
                        self.execute(caller, request).await.map(Reply::$name)
                    })+
                }
            };
        }
        for_each_command!(run)
    }
}
