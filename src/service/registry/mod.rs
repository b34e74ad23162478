//! The users and their sessions: in this process alone, or shared with the other servers on one
//! engine.
//!
//! Handlers call [`Registry`] and do not distinguish the two. Every `match` on the kind stands in
//! this file. The registry is an enum and not a trait object, so that a look-up of a session
//! neither allocates nor waits.

mod directory;
mod local;
mod session_table;
mod shared;

use std::sync::Arc;

use self::local::LocalRegistry;
use self::session_table::SessionTable;
use self::shared::SharedRegistry;
use super::Account;
use super::access_log::AccessRow;
use super::authorize::Subject;
use super::session::{ExpiryPolicy, Session};
use super::token::TokenHash;
use super::user::{Privilege, User};
use crate::model::request::Put;
use crate::model::{Access, Limits, Result, Role, UnixMillis, User as UserView, UserName, Written};
use crate::store::{Clock, Engine};

/// All users and sessions that a call may be about.
///
/// The futures of the shared registry are boxed: they are large, and every call's would have room
/// for them.
pub(super) enum Registry {
    /// Users of this process alone.
    Local(LocalRegistry),
    /// Users in Redis, and the part of them that this process knows.
    Shared(Arc<SharedRegistry>),
}

impl Registry {
    /// Creates a registry of the accounts. Waits for the engine if it is shared.
    ///
    /// # Errors
    /// `NAME_IN_USE` for two accounts of one name; `STORE_UNAVAILABLE`.
    pub(super) fn new(
        engine: &Engine,
        accounts: &[Account],
        limits: &Limits,
        clock: &Clock,
    ) -> Result<Self> {
        match engine {
            Engine::Memory(_) => {
                LocalRegistry::new(engine.clone(), accounts, limits, clock).map(Self::Local)
            }
            Engine::Redis(engine) => {
                SharedRegistry::start(engine, accounts, limits, clock).map(Self::Shared)
            }
        }
    }

    /// Returns the key of the page tokens: that of all servers on the engine, or a random one.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) fn page_token_key(&self) -> Result<[u8; 32]> {
        match self {
            Self::Local(_) => Ok(rand::random()),
            Self::Shared(shared) => shared.secret(),
        }
    }

    /// Returns the number of sessions that this process knows.
    pub(super) fn session_count(&self) -> u64 {
        self.sessions().len()
    }

    /// Returns the number of users; of a shared registry, the number of accounts.
    pub(super) fn user_count(&self) -> usize {
        match self {
            Self::Local(local) => local.user_count(),
            Self::Shared(shared) => shared.account_count(),
        }
    }

    /// Returns the session of this token if this process knows it, live or ended.
    #[inline]
    pub(super) fn find_session(&self, token: TokenHash) -> Option<Arc<Session>> {
        self.sessions().find(token)
    }

    #[inline]
    fn sessions(&self) -> &SessionTable {
        match self {
            Self::Local(local) => &local.sessions,
            Self::Shared(shared) => &shared.sessions,
        }
    }

    /// Returns true if other servers may know the sessions too, so that a call may have to wait
    /// for the engine: see [`is_fresh`](Self::is_fresh).
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Returns true if the session's state in this process is recent enough for a call. If not,
    /// the call has to wait for [`look_up`](Self::look_up).
    pub(super) fn is_fresh(&self, session: &Arc<Session>) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Shared(shared) => shared.is_fresh(session),
        }
    }

    /// Updates the session of this token from the engine. Succeeds if there is no such session:
    /// the call that follows is refused then.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `SERVER_FULL`.
    pub(super) async fn look_up(&self, token: TokenHash) -> Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Shared(shared) => Box::pin(shared.look_up(token)).await,
        }
    }

    /// Returns the account of this name.
    pub(super) fn find_account(&self, name: &UserName) -> Option<Arc<User>> {
        match self {
            Self::Local(local) => local.find_account(name),
            Self::Shared(shared) => shared.find_account(name),
        }
    }

    /// Returns the user of this name. A guest whose session has expired is removed instead.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn find_user(&self, name: &UserName) -> Result<Option<Arc<User>>> {
        match self {
            Self::Local(local) => Ok(local.find_user(name)),
            Self::Shared(shared) => Box::pin(shared.find_user(name)).await,
        }
    }

    /// Returns true if the user of this name no longer exists. Does not wait: a shared registry
    /// answers by the engine's last reply and asks it again in the background.
    pub(super) fn has_gone(&self, name: &UserName, user: &Arc<User>) -> bool {
        match self {
            Self::Local(local) => local.find_user(name).is_none_or(|found| found.id != user.id),
            Self::Shared(shared) => shared.has_gone(user),
        }
    }

    /// Returns at most `size` users whose ids are above `after`, in the order of their ids; `None`
    /// in place of one that no longer exists.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn users_after(
        &self,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, Option<UserView>)>> {
        match self {
            Self::Local(local) => Ok(local.users_after(after, size)),
            Self::Shared(shared) => Box::pin(shared.users_after(after, size)).await,
        }
    }

    /// Adds a guest and opens its session.
    ///
    /// # Errors
    /// `NAME_IN_USE`, `SERVER_FULL`, `STORE_UNAVAILABLE`.
    pub(super) async fn open_guest(
        &self,
        name: &UserName,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        match self {
            Self::Local(local) => local.open_guest(name, token, expiry, now),
            Self::Shared(shared) => Box::pin(shared.open_guest(name, token, expiry, now)).await,
        }
    }

    /// Opens a session of an account.
    ///
    /// # Errors
    /// `SERVER_FULL`, `STORE_UNAVAILABLE`.
    pub(super) async fn open_session(
        &self,
        account: &Arc<User>,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        match self {
            Self::Local(local) => local.open_session(account, token, expiry, now),
            Self::Shared(shared) => {
                Box::pin(shared.open_session(account, token, expiry, now)).await
            }
        }
    }

    /// Gives a session the privilege of an account.
    ///
    /// # Errors
    /// `SESSION_EXPIRED` if the engine no longer has the session; `STORE_UNAVAILABLE`.
    pub(super) async fn grant(&self, session: &Session, account: Arc<User>) -> Result<()> {
        if let Self::Shared(shared) = self {
            Box::pin(shared.grant(session, &account)).await?;
        }
        session.grant(account);
        Ok(())
    }

    /// Raises a user's privilege level; a higher one stays.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(super) async fn raise(&self, user: &User, privilege: Privilege) -> Result<()> {
        if let Self::Shared(shared) = self {
            Box::pin(shared.raise(user, privilege)).await?;
        }
        user.promote(privilege);
        Ok(())
    }

    /// Makes a user a guest, and ends its sessions if `end_sessions` is set.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(super) async fn lower(&self, user: &Arc<User>, end_sessions: bool) -> Result<()> {
        if let Self::Shared(shared) = self {
            Box::pin(shared.lower(user, end_sessions)).await?;
        }
        user.demote();
        if end_sessions {
            for session in user.sessions() {
                self.end_here(&session);
            }
        }
        Ok(())
    }

    /// Ends a session everywhere; a guest's name and store go with it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`; the session then goes on in this process.
    pub(super) async fn close(&self, session: &Arc<Session>) -> Result<()> {
        if let Self::Shared(shared) = self {
            Box::pin(shared.close(session)).await?;
        }
        self.end_here(session);
        Ok(())
    }

    /// Ends a session without waiting for the engine. If the engine cannot be told, a session of
    /// a connection ends there when its lease does.
    pub(super) fn close_in_background(&self, session: &Arc<Session>) {
        if let Self::Shared(shared) = self {
            shared.close_in_background(session);
        }
        self.end_here(session);
    }

    /// Ends a session in this process.
    pub(super) fn end_here(&self, session: &Arc<Session>) {
        match self {
            Self::Local(local) => local.end(session),
            Self::Shared(shared) => shared.end_here(session),
        }
    }

    /// Records an access to the owner's store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn record_access(
        &self,
        owner: &User,
        row: AccessRow,
        role: Role,
    ) -> Result<()> {
        match self {
            Self::Local(local) => {
                local.record_access(owner, row, role);
                Ok(())
            }
            Self::Shared(shared) => Box::pin(shared.record_access(owner, &row, role)).await,
        }
    }

    /// Returns the latest accesses to the owner's store before the position `before`, and the
    /// position of the last of them if there are more.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn accesses(
        &self,
        owner: &User,
        before: Option<u64>,
        size: usize,
    ) -> Result<(Vec<Access>, Option<u64>)> {
        match self {
            Self::Local(_) => Ok(owner.accesses().page(before, size)),
            Self::Shared(shared) => Box::pin(shared.accesses(owner, before, size)).await,
        }
    }

    /// Records the access and puts the entry into the store of the user named, who is not the
    /// caller.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`, `MANAGER_REQUIRED`; those of [`Store::put`](crate::store::Store::put).
    pub(super) async fn put_other(
        &self,
        subject: &Subject<'_>,
        name: &UserName,
        put: &Put,
    ) -> Result<Written> {
        match self {
            Self::Local(local) => local.put_other(subject, name, put).await,
            Self::Shared(shared) => Box::pin(shared.put_other(subject, name, put)).await,
        }
    }

    /// Ends sessions that have expired, an eighth of the table at a time. A shared registry
    /// refreshes those with open streams and forgets those that are not in use.
    pub(super) fn sweep(&self) {
        match self {
            Self::Local(local) => local.sweep(),
            Self::Shared(shared) => shared.sweep(),
        }
    }
}
