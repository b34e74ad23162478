//! Users and sessions of all servers on one engine. The engine is authoritative; each server
//! caches the part that its own clients use.
//!
//! The state of a session that is in use is refreshed after two seconds, in the background of its
//! calls. That of a session that was idle is refreshed before its next call. A change that another
//! server made (of a role, or the end of a session) is thus in force here within five seconds, and
//! a call on the caller's own store takes one command.

mod access_log;
mod foreign_put;
mod sessions;
mod users;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::try_join;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::directory;
use super::session_table::SessionTable;
use crate::model::{Limits, Result, UserName};
use crate::service::Account;
use crate::service::user::{Privilege, User};
use crate::store::redis::{NameRecord, UserRecord};
use crate::store::{Backend, Clock, RedisEngine};

/// Age of a session's state at which a call refreshes it in the background.
const REFRESH_AFTER: Duration = Duration::from_secs(2);
/// Age of a session's state at which a call waits for the engine.
const STALE_AFTER: Duration = Duration::from_millis(4_500);
/// Time without use after which this server, but not the engine, forgets a session.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Time for which a connection's session outlives the server that serves it.
const LEASE: Duration = Duration::from_secs(15);
/// Maximum time between two extensions of a session's expiry.
const MAX_EXTENSION_INTERVAL: Duration = Duration::from_secs(60);

/// Registry of a server that shares its users.
pub(in crate::service) struct SharedRegistry {
    engine: RedisEngine,
    accounts: HashMap<String, ConfiguredAccount>,
    /// Users that something in this process holds, by id.
    users: Mutex<HashMap<u64, Weak<User>>>,
    /// Sessions that this process knows.
    pub(super) sessions: SessionTable,
    clock: Clock,
    /// Id of the last user that was checked for its existence.
    last_checked: AtomicU64,
    /// Idle time after which a guest's session expires.
    guest_idle: Duration,
    /// Time for which the engine keeps a guest beyond its session's expiry, since the expiry is
    /// extended only so often.
    slack: Duration,
}

/// Account of the configuration.
struct ConfiguredAccount {
    user: Arc<User>,
    /// Digest of its password's hash.
    password: String,
}

impl SharedRegistry {
    /// Enters the accounts of the configuration into the engine, and waits until that is done. The
    /// sessions of accounts that are no longer in it, or have another password, end at all servers.
    ///
    /// # Errors
    /// `NAME_IN_USE` for two accounts of one name; `STORE_UNAVAILABLE`.
    pub(super) fn start(
        engine: &RedisEngine,
        accounts: &[Account],
        limits: &Limits,
        clock: &Clock,
    ) -> Result<Arc<Self>> {
        let mut entered = HashMap::new();
        for account in accounts {
            let account_entered = enter_account(engine, account)?;
            if entered.insert(account.name.folded().to_owned(), account_entered).is_some() {
                return Err(directory::name_in_use(&account.name));
            }
        }
        let of = engine.clone();
        let ids: Vec<_> = entered.values().map(|account| account.user.id).collect();
        engine.wait(async move {
            for id in of.name_accounts(&ids).await? {
                of.end_sessions(id).await?;
            }
            Ok(())
        })?;
        Ok(Arc::new(Self {
            engine: engine.clone(),
            accounts: entered,
            users: Mutex::default(),
            sessions: SessionTable::new(limits.sessions),
            clock: clock.clone(),
            last_checked: AtomicU64::new(0),
            guest_idle: limits.guest_idle,
            slack: (limits.guest_idle / 10).clamp(2 * REFRESH_AFTER, MAX_EXTENSION_INTERVAL),
        }))
    }

    /// Returns the number of accounts.
    pub(super) fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// Returns the account of this name.
    pub(super) fn find_account(&self, name: &UserName) -> Option<Arc<User>> {
        self.accounts.get(name.folded()).map(|account| Arc::clone(&account.user))
    }

    /// Returns the account of this id and name, if it is in the configuration.
    fn account_of(&self, id: u64, name: &UserName) -> Option<&Arc<User>> {
        let account = &self.accounts.get(name.folded())?.user;
        (account.id == id).then_some(account)
    }

    /// Returns the record of a grant of an account's role to a user, whose role was taken back
    /// `roles` times so far.
    fn grant_of(&self, account: &User, roles: u64) -> String {
        let name = account.name.folded();
        let password = self.accounts.get(name).map_or("", |account| &account.password);
        format!("{roles}:{password}:{name}")
    }

    /// Returns the account of a recorded grant. A grant ends when the role is taken back, and when
    /// the account has another password or is gone.
    fn granted(&self, grant: Option<&String>, roles: u64) -> Option<&Arc<User>> {
        let mut parts = grant?.splitn(3, ':');
        let (of, password, name) = (parts.next()?, parts.next()?, parts.next()?);
        let account = self.accounts.get(name)?;
        (of.parse() == Ok(roles) && password == account.password).then_some(&account.user)
    }

    /// Returns the secret that the servers on the engine have in common.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) fn secret(&self) -> Result<[u8; 32]> {
        let engine = self.engine.clone();
        self.engine.wait(async move { engine.secret().await })
    }
}

/// Enters an account into the engine.
fn enter_account(engine: &RedisEngine, account: &Account) -> Result<ConfiguredAccount> {
    let privilege = Privilege::of(account.role);
    let (of, name) = (engine.clone(), account.name.clone());
    let password = digest(&account.password_hash);
    let entered = password.clone();
    let id = engine.wait(async move {
        let new = NameRecord { id: of.new_id(), name: name.as_str().to_owned(), account: true };
        let id = of.take_name(name.folded(), &new, None).await?.err().unwrap_or(new.id);
        let user = UserRecord {
            name: new.name,
            account: true,
            standing: privilege as u8,
            ..UserRecord::default()
        };
        try_join(of.enter(id, &user, &entered, None), of.count_user(id, true)).await?;
        Ok(id)
    })?;
    let store = Backend::Redis(engine.open(id));
    let user = Arc::new(User::new(id, account.name.clone(), true, privilege, store));
    Ok(ConfiguredAccount { user, password })
}

/// Returns a digest of a password's hash: enough of it to tell that it is another one.
fn digest(password_hash: &str) -> String {
    Sha256::digest(password_hash).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
