//! What servers on one engine share: who there is. Each keeps what it needs for a few seconds; the
//! engine has the truth.
//!
//! A session that is used is asked for again after two seconds, beside its calls; one that was not
//! is asked for before the next call. So what another server changed (a role, an end) holds here
//! within five seconds, and a call on one's own store is one command.

mod others;
mod sessions;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{try_join, try_join3};
use futures_util::stream::iter;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::accesses::What;
use super::authorize::session_expired;
use super::limits::Limits;
use super::session::{Life, Session};
use super::token::TokenHash;
use super::user::{Standing, User};
use super::{Account, directory};
use crate::model::{
    Access as AccessView, Error, Method, Result, Role, UnixMillis, User as UserView, UserName,
};
use crate::store::redis::{NameRecord, SessionRecord, UserRecord};
use crate::store::{Backend, Clock, RedisEngine};

/// After how long the engine is asked again about a session that is used, while its calls go on.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// After how long a call waits for what the engine says.
const TOO_OLD: Duration = Duration::from_millis(4_500);
/// After how long without use this server forgets a session; the engine does not.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How long a guest of a socket outlives the server that serves it.
const LEASE: Duration = Duration::from_secs(15);
/// The most between two extensions of a life.
const MOST_BETWEEN: Duration = Duration::from_secs(60);
/// How many users a page of them asks for at a time.
const ASKED_AT_ONCE: usize = 32;

/// What a server shares, and what it remembers of it.
pub(super) struct Shared {
    engine: RedisEngine,
    accounts: HashMap<String, Arc<User>>,
    /// Users that something here holds.
    users: Mutex<HashMap<u64, Weak<User>>>,
    clock: Clock,
    /// Behind which user the next look at those that may have gone is.
    looked_at: AtomicU64,
    /// How much longer than its session's time the engine keeps a guest: lives are prolonged only
    /// so often.
    slack: Duration,
}

impl Shared {
    /// Enters the accounts of the configuration, and waits for that.
    pub(super) fn start(
        engine: &RedisEngine,
        accounts: &[Account],
        limits: &Limits,
        clock: &Clock,
    ) -> Result<Arc<Self>> {
        let mut entered = HashMap::new();
        for account in accounts {
            let standing = Standing::of(account.role);
            let (of, name) = (engine.clone(), account.name.clone());
            let id = engine.wait(async move {
                let new =
                    NameRecord { id: of.new_id(), name: name.as_str().to_owned(), account: true };
                let id = of.take_name(name.folded(), &new, None).await?.err().unwrap_or(new.id);
                let user = UserRecord {
                    name: new.name,
                    account: true,
                    standing: standing as u8,
                    grant: None,
                };
                try_join(of.enter(id, &user, None), of.count_user(id, true)).await?;
                Ok(id)
            })?;
            let user = User::new(
                id,
                account.name.clone(),
                true,
                standing,
                Backend::Redis(engine.open(id)),
            );
            if entered.insert(account.name.folded().to_owned(), Arc::new(user)).is_some() {
                return Err(directory::name_in_use(&account.name));
            }
        }
        let slack = (limits.guest_idle / 10).clamp(2 * ASK_AGAIN, MOST_BETWEEN);
        let users = Mutex::default();
        Ok(Arc::new(Self {
            engine: engine.clone(),
            accounts: entered,
            users,
            clock: clock.clone(),
            looked_at: AtomicU64::new(0),
            slack,
        }))
    }

    /// The accounts.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Arc<User>> + '_ {
        self.accounts.values().cloned()
    }

    /// What the servers on the engine have in common, and nobody else knows.
    pub(super) fn secret(&self) -> Result<[u8; 32]> {
        let engine = self.engine.clone();
        self.engine.wait(async move { engine.secret().await })
    }

    /// Until when the engine is to keep a session of this life that is used now.
    pub(super) fn until(&self, life: Life, now: UnixMillis) -> UnixMillis {
        match life {
            Life::Until(end) => end,
            Life::Connection => now.saturating_add(LEASE),
            Life::Idle(idle) => now.saturating_add(idle).saturating_add(self.slack),
        }
    }

    /// Takes a guest in, with its session.
    pub(super) async fn open_guest(
        self: &Arc<Self>,
        name: &UserName,
        token: TokenHash,
        life: Life,
        now: UnixMillis,
    ) -> Result<Arc<User>> {
        let until = self.until(life, now);
        let holder =
            NameRecord { id: self.engine.new_id(), name: name.as_str().to_owned(), account: false };
        let id = holder.id;
        if self.accounts.contains_key(name.folded()) {
            return Err(directory::name_in_use(name));
        }
        let taken = self.engine.take_name(name.folded(), &holder, Some(until)).await;
        if let Ok(Err(_)) = taken {
            return Err(directory::name_in_use(name));
        }
        let user = UserRecord {
            name: holder.name,
            account: false,
            standing: Standing::Guest as u8,
            grant: None,
        };
        let entered = async {
            taken?.map_err(|_| directory::name_in_use(name))?;
            // The user before its session: a session leads to its user.
            let entered = self.engine.enter(id, &user, Some(until));
            try_join(entered, self.engine.count_user(id, true)).await?;
            self.engine
                .open_session(&token.to_text(), &SessionRecord { user: id, until, grant: None })
                .await
        };
        if let Err(error) = entered.await {
            // Half of it may be there: the name is to be free again.
            self.take_out(id, name.folded().to_owned(), token);
            return Err(error);
        }
        self.look_at_some();
        let user = User::new(
            id,
            name.clone(),
            false,
            Standing::Guest,
            Backend::Redis(self.engine.open_existing(id)),
        );
        Ok(self.keep(Arc::new(user)))
    }

    /// Counts those guests no more that have gone by themselves. Two are looked at for each that
    /// comes, so that their number stays in bounds.
    fn look_at_some(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.engine.in_background(async move {
            let looked_at = this.looked_at.load(Ordering::Relaxed);
            let some = this.users_behind(looked_at, 2).await?;
            this.looked_at.store(some.last().map_or(0, |(id, _)| *id), Ordering::Relaxed);
            Ok(())
        });
    }

    /// Opens a session of an account.
    pub(super) async fn open_session(
        &self,
        user: &User,
        token: TokenHash,
        life: Life,
        now: UnixMillis,
    ) -> Result<()> {
        let record = SessionRecord { user: user.id, until: self.until(life, now), grant: None };
        self.engine.open_session(&token.to_text(), &record).await
    }

    /// The session takes an account's role.
    pub(super) async fn grant(&self, session: &Session, account: &User) -> Result<()> {
        let user = &session.user;
        // A guest has one session, and others are to see its role.
        let token = user.account.then(|| session.token.to_text());
        let there = self.engine.grant(user.id, token.as_deref(), account.name.folded()).await?;
        if there { Ok(()) } else { Err(session_expired()) }
    }

    /// Ends a session everywhere, and with a guest's, the guest.
    pub(super) async fn close(&self, session: &Session) -> Result<()> {
        let user = &session.user;
        self.engine.close_session(&session.token.to_text(), user.id).await?;
        if !user.account {
            try_join3(
                self.engine.free_name(user.name.folded(), user.id),
                self.engine.leave(user.id),
                self.engine.count_user(user.id, false),
            )
            .await?;
        }
        Ok(())
    }

    /// The same when nobody can wait for it. If it fails, a guest of a socket goes with its lease.
    pub(super) fn close_later(&self, session: &Session) {
        if !session.has_ended() {
            self.take_out(session.user.id, session.user.name.folded().to_owned(), session.token);
        }
    }

    fn take_out(&self, id: u64, folded: String, token: TokenHash) {
        let engine = self.engine.clone();
        self.engine.in_background(async move {
            engine.close_session(&token.to_text(), id).await?;
            try_join3(
                engine.free_name(&folded, id),
                engine.leave(id),
                engine.count_user(id, false),
            )
            .await?;
            Ok(())
        });
    }

    /// The user of this name.
    pub(super) async fn find_user(&self, name: &UserName) -> Result<Option<Arc<User>>> {
        if let Some(account) = self.accounts.get(name.folded()) {
            return Ok(Some(Arc::clone(account)));
        }
        let Some(found) = self.engine.find_name(name.folded()).await? else { return Ok(None) };
        self.user(found.id, &found.name, found.account).map(Some)
    }

    /// Asks beside the calls whether a user is still there, and notes if not.
    pub(super) fn look_whether_gone(&self, user: &Arc<User>) {
        let (engine, user) = (self.engine.clone(), Arc::clone(user));
        self.engine.in_background(async move {
            if engine.find_user(user.id).await?.is_none() {
                user.went();
            }
            Ok(())
        });
    }

    /// The user with this id, as it is known here or else from now on.
    fn user(&self, id: u64, name: &str, account: bool) -> Result<Arc<User>> {
        if let Some(known) = self.users.lock().get(&id).and_then(Weak::upgrade) {
            return Ok(known);
        }
        if let Some(account) = self.accounts.values().find(|account| account.id == id) {
            return Ok(Arc::clone(account));
        }
        let store = Backend::Redis(self.engine.open_existing(id));
        let user = User::new(id, UserName::new(name)?, account, Standing::Guest, store);
        Ok(self.keep(Arc::new(user)))
    }

    /// Remembers a user while something holds it; gives the one that is known, if there is one.
    fn keep(&self, user: Arc<User>) -> Arc<User> {
        let mut users = self.users.lock();
        if let Some(known) = users.get(&user.id).and_then(Weak::upgrade) {
            return known;
        }
        if users.len() == users.capacity() {
            users.retain(|_, user| user.strong_count() > 0);
        }
        users.insert(user.id, Arc::downgrade(&user));
        user
    }

    /// Raises a user's standing.
    pub(super) async fn raise(&self, user: &User, standing: Standing) -> Result<()> {
        if self.engine.raise(user.id, standing as u8).await? { Ok(()) } else { Err(gone(user)) }
    }

    /// Makes a user a guest; ends its sessions, if so.
    pub(super) async fn lower(&self, user: &Arc<User>, end_sessions: bool) -> Result<()> {
        if !self.engine.lower(user.id, Standing::Guest as u8).await? {
            return Err(gone(user));
        }
        let tokens = self.engine.sessions_of(user.id).await?;
        for token in &tokens {
            if end_sessions {
                self.engine.close_session(token, user.id).await?;
            } else if user.account {
                // What a password gave in an account's session is noted there.
                self.engine.grant(user.id, Some(token), "").await?;
            }
        }
        if end_sessions && !user.account {
            let (name, id) = (user.name.folded(), user.id);
            try_join3(
                self.engine.free_name(name, id),
                self.engine.leave(id),
                self.engine.count_user(id, false),
            )
            .await?;
        }
        Ok(())
    }

    /// The next users behind the one with this id, each with its id; those that have gone as
    /// `None`.
    pub(super) async fn users_behind(
        &self,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, Option<UserView>)>> {
        let ids = self.engine.users_behind(after, size).await?;
        let asked = iter(ids).map(|id| async move { Ok((id, self.engine.find_user(id).await?)) });
        let found: Vec<Result<_>> = asked.buffered(ASKED_AT_ONCE).collect().await;
        let mut users = Vec::with_capacity(found.len());
        for found in found {
            let (id, user) = found?;
            if user.is_none() {
                let engine = self.engine.clone();
                self.engine.in_background(async move { engine.count_user(id, false).await });
            }
            users.push((id, user.map(|user| self.view(user))));
        }
        Ok(users)
    }

    fn view(&self, user: UserRecord) -> UserView {
        let granted = user
            .grant
            .and_then(|account| self.accounts.get(&account))
            .map(|account| account.standing());
        let standing = granted.unwrap_or(Standing::Guest).max(Standing::from_bits(user.standing));
        UserView { name: user.name, role: standing.role() }
    }

    /// Puts an access on record.
    pub(super) async fn record_access(&self, owner: &User, what: &What, role: Role) -> Result<()> {
        self.engine.record_access(owner.id, &what.packed(), role.as_str()).await
    }

    /// The latest accesses to a user's store before a place, with that of the last if there are
    /// more.
    pub(super) async fn accesses(
        &self,
        owner: &User,
        before: Option<u64>,
        size: usize,
    ) -> Result<(Vec<AccessView>, Option<u64>)> {
        let mut rows = self.engine.accesses(owner.id, before, size + 1).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().map(|row| row.order).filter(|_| more);
        let mut accesses = Vec::with_capacity(rows.len());
        for row in rows {
            let what: Vec<Json> = serde_json::from_slice(&row.what).map_err(Error::internal)?;
            let part =
                |at: usize| what.get(at).and_then(Json::as_str).unwrap_or_default().to_owned();
            let role = if row.role == Role::Manager.as_str() { Role::Manager } else { Role::Guest };
            let method =
                Method::ALL.iter().map(|method| method.name()).find(|name| *name == part(3));
            accesses.push(AccessView {
                user: UserView { name: part(0), role },
                account: part(1),
                protocol: part(2).into(),
                method: method.unwrap_or_default(),
                key: part(4),
                count: row.count,
                first_time: row.first,
                last_time: row.last,
            });
        }
        Ok((accesses, last))
    }
}

impl What {
    /// As the engine keeps it.
    fn packed(&self) -> Vec<u8> {
        json!([self.user, self.account, self.protocol, self.method, self.key])
            .to_string()
            .into_bytes()
    }
}

fn gone(user: &User) -> Error {
    Error::new(
        crate::model::Reason::UserNotFound,
        format!("there is no user {:?}", user.name.as_str()),
    )
}
