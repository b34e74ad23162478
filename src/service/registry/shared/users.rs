//! Shared users: guests that come and go, and the privilege levels of all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::StreamExt as _;
use futures_util::future::try_join3;
use futures_util::stream::iter;

use super::super::directory::name_in_use;
use super::SharedRegistry;
use crate::model::{Error, Reason, Result, UnixMillis, User as UserView, UserName};
use crate::service::session::{ExpiryPolicy, Session};
use crate::service::token::TokenHash;
use crate::service::user::{Privilege, User};
use crate::store::redis::{NameRecord, SessionRecord, UserRecord};
use crate::store::{Backend, RedisEngine};

/// Maximum number of users of a page that the engine is asked for at the same time.
const CONCURRENT_LOOKUPS: usize = 32;
/// Maximum number of ids that are drawn for one guest. Two servers rarely draw the same.
const MAX_DRAWS: usize = 3;

impl SharedRegistry {
    /// Adds a guest and opens its session.
    ///
    /// # Errors
    /// `NAME_IN_USE`, `SERVER_FULL`, `STORE_UNAVAILABLE`.
    pub(in super::super) async fn open_guest(
        self: &Arc<Self>,
        name: &UserName,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        self.sessions.has_room()?;
        for _ in 0..MAX_DRAWS {
            if let Some(user) = self.add_guest(name, token, expiry, now).await? {
                return self.insert_session(&user, token, expiry, self.until(expiry, now), now);
            }
        }
        Err(Error::internal("every id that was drawn for a new user is another one's"))
    }

    /// Adds a guest and its session to the engine. Returns `None` if the id that was drawn for it
    /// is another user's.
    async fn add_guest(
        self: &Arc<Self>,
        name: &UserName,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Option<Arc<User>>> {
        let until = self.until(expiry, now);
        let id = self.engine.new_id();
        let holder = NameRecord { id, name: name.as_str().to_owned(), account: false };
        if self.accounts.contains_key(name.folded()) {
            return Err(name_in_use(name));
        }
        let taken = self.engine.take_name(name.folded(), &holder, Some(until)).await;
        if let Ok(Err(_)) = taken {
            return Err(name_in_use(name));
        }
        let user = UserRecord {
            name: holder.name,
            standing: Privilege::Guest as u8,
            ..UserRecord::default()
        };
        let entered = async {
            taken?.map_err(|_| name_in_use(name))?;
            // The user before its session, since a session refers to its user.
            if !self.engine.enter(id, &user, "", Some(until)).await? {
                // Another server drew the same id: the name is given back, and the caller told to
                // try again, which draws another one.
                self.engine.free_name(name.folded(), id).await?;
                return Ok(false);
            }
            self.engine.count_user(id, true).await?;
            let session = SessionRecord { user: id, until, grant: None, generation: 0 };
            self.engine.open_session(&token.to_text(), &session).await?;
            Ok(true)
        };
        let entered: Result<bool> = entered.await;
        if let Ok(false) = entered {
            return Ok(None);
        }
        if let Err(error) = entered {
            // Some of the records may exist; removing them frees the name.
            self.remove_guest_in_background(id, name.folded().to_owned(), token);
            return Err(error);
        }
        self.check_some_users();
        let store = Backend::Redis(self.engine.open_existing(id));
        let user = User::new(id, name.clone(), false, Privilege::Guest, store);
        Ok(Some(self.remember(Arc::new(user))))
    }

    /// Takes guests that expired in the engine off the count of users. Two users are checked for
    /// each guest that is added, so that the number of expired ones stays bounded.
    fn check_some_users(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.engine.in_background(async move {
            let last_checked = this.last_checked.load(Ordering::Relaxed);
            let some = this.users_after(last_checked, 2).await?;
            this.last_checked.store(some.last().map_or(0, |(id, _)| *id), Ordering::Relaxed);
            Ok(())
        });
    }

    /// Removes a guest and its session from the engine.
    pub(super) fn remove_guest_in_background(&self, id: u64, folded: String, token: TokenHash) {
        let engine = self.engine.clone();
        self.engine.in_background(async move {
            engine.close_session(&token.to_text()).await?;
            remove_guest(&engine, id, &folded).await
        });
    }

    /// Returns the user of this name.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(in super::super) async fn find_user(&self, name: &UserName) -> Result<Option<Arc<User>>> {
        if let Some(account) = self.accounts.get(name.folded()) {
            return Ok(Some(Arc::clone(&account.user)));
        }
        let Some(found) = self.engine.find_name(name.folded()).await? else { return Ok(None) };
        self.user(found.id, &found.name, found.account).map(Some)
    }

    /// Returns true if the engine's last reply was that the user no longer exists, and asks it
    /// again in the background.
    pub(in super::super) fn has_gone(&self, user: &Arc<User>) -> bool {
        let (engine, asked) = (self.engine.clone(), Arc::clone(user));
        self.engine.in_background(async move {
            if engine.find_user(asked.id).await?.is_none() {
                asked.mark_gone();
            }
            Ok(())
        });
        user.is_gone()
    }

    /// Returns the user of this id: the one that this process knows, or else a new one.
    pub(super) fn user(&self, id: u64, name: &str, account: bool) -> Result<Arc<User>> {
        if let Some(known) = self.users.lock().get(&id).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let name = UserName::new(name)?;
        if let Some(account) = self.account_of(id, &name) {
            return Ok(Arc::clone(account));
        }
        let store = Backend::Redis(self.engine.open_existing(id));
        let user = User::new(id, name, account, Privilege::Guest, store);
        Ok(self.remember(Arc::new(user)))
    }

    /// Adds a user to those that this process knows. Returns the one that it knows already, if
    /// there is one.
    fn remember(&self, user: Arc<User>) -> Arc<User> {
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

    /// Raises a user's privilege level in the engine.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(in super::super) async fn raise(&self, user: &User, privilege: Privilege) -> Result<()> {
        let exists = self.engine.raise(user.id, privilege as u8).await?;
        if exists { Ok(()) } else { Err(user_not_found(user)) }
    }

    /// Makes a user a guest in the engine, and ends its sessions there if `end_sessions` is set.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(in super::super) async fn lower(&self, user: &User, end_sessions: bool) -> Result<()> {
        if !self.engine.lower(user.id, Privilege::Guest as u8, end_sessions).await? {
            return Err(user_not_found(user));
        }
        if end_sessions && !user.account {
            remove_guest(&self.engine, user.id, user.name.folded()).await?;
        }
        Ok(())
    }

    /// Returns at most `size` users whose ids are above `after`; `None` in place of one that no
    /// longer exists.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(in super::super) async fn users_after(
        &self,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, Option<UserView>)>> {
        let ids = self.engine.users_behind(after, size).await?;
        let asked = iter(ids).map(|id| async move { Ok((id, self.engine.find_user(id).await?)) });
        let found: Vec<Result<_>> = asked.buffered(CONCURRENT_LOOKUPS).collect().await;
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
        let granted = self.granted(user.grant.as_ref(), user.roles);
        let granted = granted.map(|account| account.privilege());
        let own = Privilege::from_bits(user.standing);
        let privilege = granted.unwrap_or(Privilege::Guest).max(own);
        UserView { name: user.name, role: privilege.role() }
    }
}

/// Removes a guest from the engine, and frees its name.
pub(super) async fn remove_guest(engine: &RedisEngine, id: u64, folded: &str) -> Result<()> {
    let freed = engine.free_name(folded, id);
    try_join3(freed, engine.leave(id), engine.count_user(id, false)).await.map(|_| ())
}

fn user_not_found(user: &User) -> Error {
    Error::new(Reason::UserNotFound, format!("there is no user {:?}", user.name.as_str()))
}
