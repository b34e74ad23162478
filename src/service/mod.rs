//! The service: what a command does, for whom, and what it costs. Knows `model` and `store`; no
//! door, no socket, no protobuf.

mod accesses;
mod authorize;
mod chat;
mod connection;
mod directory;
mod fingerprint;
mod key_value;
mod limits;
mod listing;
mod method;
pub mod metrics;
mod page_token;
mod password;
mod people;
mod rates;
pub mod rooms;
mod session;
mod sessions;
mod shared;
mod sign_in;
mod sweep;
mod token;
mod tools;
mod user;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;

pub use authorize::Caller;
pub use chat::RoomSubscription;
pub use connection::ConnectionSession;
pub use limits::Limits;
pub use method::{Access, Answer, Method};
pub use session::{Session, StreamGuard};
pub use sweep::SWEEP_INTERVAL;
pub use token::{TOKEN_CHARACTERS, TokenHash};
pub use user::{Standing, User};
pub use watch::Watching;

pub use crate::store::feed::{Event, Next};
pub use crate::store::{Change, ChangeKind};

use crate::model::{Command, DoorInfo, Error, Reply, Result, Role, UpgradePolicy, UserName};
use crate::store::{Clock, Engine};

/// An account of the configuration.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub name: UserName,
    /// Its password as an Argon2id hash in PHC form.
    pub password_hash: String,
    /// Its role.
    pub role: Role,
}

/// What a service is made of.
#[derive(Clone)]
pub struct Options {
    /// The accounts; their names differ.
    pub accounts: Vec<Account>,
    /// Who may promote a guest.
    pub upgrade_policy: UpgradePolicy,
    /// What it allows.
    pub limits: Limits,
    /// What it takes the time from.
    pub clock: Clock,
    /// What keeps the stores.
    pub engine: Engine,
}

/// The service behind all doors: one directory of users, their sessions and their stores.
pub struct Service {
    directory: directory::Directory,
    sessions: sessions::Sessions,
    passwords: password::Passwords,
    rates: rates::Rates,
    page_tokens: page_token::PageTokens,
    engine: Engine,
    /// What it shares with other servers; `None`: nothing.
    shared: Option<Arc<shared::Shared>>,
    rooms: rooms::Rooms,
    upgrade_policy: UpgradePolicy,
    limits: Limits,
    clock: Clock,
    metrics: metrics::Metrics,
    doors: OnceLock<Vec<DoorInfo>>,
}

impl Service {
    /// A service with its accounts and no sessions.
    ///
    /// # Errors
    /// `NAME_IN_USE` for two accounts of one name; `INTERNAL` if the system gives no randomness.
    pub fn new(options: Options) -> Result<Self> {
        let Options { accounts, upgrade_policy, limits, clock, engine } = options;
        let hashes: HashMap<String, Arc<str>> = accounts
            .iter()
            .map(|account| {
                (account.name.folded().to_owned(), account.password_hash.as_str().into())
            })
            .collect();
        let shared = match &engine {
            Engine::Memory(_) => None,
            Engine::Redis(engine) => {
                Some(shared::Shared::start(engine, &accounts, &limits, &clock)?)
            }
        };
        let page_tokens = match &shared {
            None => page_token::PageTokens::new(),
            Some(shared) => page_token::PageTokens::with_key(shared.secret()?),
        };
        let rooms = rooms::Rooms::new(limits.clone(), clock.clone(), &engine);
        let service = Self {
            directory: directory::Directory::default(),
            sessions: sessions::Sessions::new(limits.sessions),
            passwords: password::Passwords::new(hashes, limits.auth_queue)?,
            rates: rates::Rates::new(&limits),
            page_tokens,
            engine,
            shared,
            rooms,
            upgrade_policy,
            limits,
            clock,
            metrics: metrics::Metrics::new(),
            doors: OnceLock::new(),
        };
        if let Some(shared) = &service.shared {
            shared.accounts().for_each(|account| service.directory.insert_known(account));
            return Ok(service);
        }
        for account in &accounts {
            let standing = Standing::of(account.role);
            service.directory.insert(&account.name, |id| {
                let store = service.engine.open(id);
                Ok((Arc::new(User::new(id, account.name.clone(), true, standing, store)), ()))
            })?;
        }
        Ok(service)
    }

    /// Tells the service where its server listens; said once, when all is bound.
    pub fn set_doors(&self, doors: Vec<DoorInfo>) {
        // A second call would be a fault of the composition; the first one stands.
        let _ = self.doors.set(doors);
    }

    /// What is counted.
    pub fn metrics(&self) -> &metrics::Metrics {
        &self.metrics
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the service takes the time from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the stores' engine answers, now and whenever that changes; `None`: it is this
    /// process's memory.
    pub fn engine_health(&self) -> Option<tokio::sync::watch::Receiver<bool>> {
        self.engine.health()
    }

    /// Whether the stores' futures are ready at once.
    pub fn answers_at_once(&self) -> bool {
        self.engine.answers_at_once()
    }

    /// Does as [`execute`](Self::execute), without a future, what reads or writes a key: for a door
    /// that asked [`answers_at_once`](Self::answers_at_once).
    ///
    /// # Errors
    /// As `execute`; `INTERNAL` for any other command.
    pub fn execute_at_once(&self, caller: &Caller, command: Command) -> Result<Reply> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "only these are answered so")]
        let done = match command {
            Command::Get { key } => self.get(caller, key).now_or_never(),
            Command::Put { put, request_id } => {
                self.put(caller, None, put, request_id).now_or_never()
            }
            Command::Delete { delete, request_id } => {
                self.delete(caller, delete, request_id).now_or_never()
            }
            Command::GetOther { user, key } => self.get_other(caller, &user, key).now_or_never(),
            Command::PutOther { user, put, request_id } => {
                self.put(caller, Some(&user), put, request_id).now_or_never()
            }
            Command::Batch { operations, request_id } => {
                self.batch(caller, operations, request_id).now_or_never()
            }
            _ => None,
        };
        done.unwrap_or_else(|| {
            Err(Error::internal("a command that may have to wait was to be done at once"))
        })
    }

    /// Does what the caller asks, if it may.
    ///
    /// # Errors
    /// Those that the contract lists for the RPC of the command's name.
    pub async fn execute(&self, caller: &Caller, command: Command) -> Result<Reply> {
        match command {
            Command::Get { key } => self.get(caller, key).await,
            Command::Put { put, request_id } => self.put(caller, None, put, request_id).await,
            Command::Delete { delete, request_id } => self.delete(caller, delete, request_id).await,
            Command::GetOther { user, key } => self.get_other(caller, &user, key).await,
            Command::PutOther { user, put, request_id } => {
                self.put(caller, Some(&user), put, request_id).await
            }
            Command::ListKeys { user, prefix, page } => {
                self.list_keys(caller, user.as_ref(), &prefix, &page).await
            }
            Command::Scan { user, prefix, keys_only, cursor } => {
                self.scan(caller, user.as_ref(), &prefix, keys_only, cursor.as_deref()).await
            }
            Command::Batch { operations, request_id } => {
                self.batch(caller, operations, request_id).await
            }
            Command::SignIn { user } => self.sign_in(caller, user).await,
            Command::Auth { user, password } => self.auth(caller, &user, password).await,
            Command::Upgrade { user } => self.upgrade(caller, user.as_ref()).await,
            Command::Downgrade { user, end_sessions } => {
                self.downgrade(caller, &user, end_sessions).await
            }
            Command::WhoAmI => self.who_am_i(caller),
            Command::SignOut => self.sign_out(caller).await,
            Command::ListUsers { page } => self.list_users(caller, &page).await,
            Command::ListAccesses { page } => self.list_accesses(caller, &page).await,
            Command::Send { room, message } => self.send(caller, &room, &message).await,
            Command::ListMembers { room, page } => self.list_members(caller, &room, &page).await,
            Command::ListRooms { page } => self.list_rooms(caller, &page).await,
            Command::GetServerInfo => Ok(self.server_info()),
            Command::Encode { text } => tools::encode(&text),
            Command::Decode { bits } => tools::decode(&bits),
            Command::Now => tools::now(),
            Command::Calculate { expression } => tools::calculate(&expression),
        }
    }
}
