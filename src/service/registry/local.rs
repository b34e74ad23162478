//! Users and sessions of this process alone.

use std::sync::Arc;

use super::directory::Directory;
use super::session_table::SessionTable;
use crate::model::request::Put;
use crate::model::{Limits, Result, Role, UnixMillis, User as UserView, UserName, Written};
use crate::service::Account;
use crate::service::access_log::AccessRow;
use crate::service::authorize::Subject;
use crate::service::fingerprint::Fingerprint;
use crate::service::key_value::{once, resolve};
use crate::service::session::{ExpiryPolicy, Session};
use crate::service::token::TokenHash;
use crate::service::user::{Privilege, User};
use crate::store::{Clock, Engine, Store as _};

/// Registry of a server that shares nothing.
pub(in crate::service) struct LocalRegistry {
    directory: Directory,
    pub(super) sessions: SessionTable,
    engine: Engine,
    clock: Clock,
}

impl LocalRegistry {
    /// Creates a registry of the accounts.
    ///
    /// # Errors
    /// `NAME_IN_USE` for two accounts of one name.
    pub(super) fn new(
        engine: Engine,
        accounts: &[Account],
        limits: &Limits,
        clock: &Clock,
    ) -> Result<Self> {
        let this = Self {
            directory: Directory::default(),
            sessions: SessionTable::new(limits.sessions),
            engine,
            clock: clock.clone(),
        };
        for account in accounts {
            let privilege = Privilege::of(account.role);
            this.directory.insert(&account.name, |id| {
                let store = this.engine.open(id);
                Ok((Arc::new(User::new(id, account.name.clone(), true, privilege, store)), ()))
            })?;
        }
        Ok(this)
    }

    /// Returns the number of users.
    pub(super) fn user_count(&self) -> usize {
        self.directory.len()
    }

    /// Returns the account of this name.
    pub(super) fn find_account(&self, name: &UserName) -> Option<Arc<User>> {
        self.directory.find(name).filter(|user| user.account)
    }

    /// Returns the user of this name. A guest whose session has expired is removed instead.
    pub(super) fn find_user(&self, name: &UserName) -> Option<Arc<User>> {
        let user = self.directory.find(name)?;
        if user.is_there(self.clock.now()) {
            return Some(user);
        }
        for session in user.sessions() {
            self.end(&session);
        }
        None
    }

    /// Returns at most `size` users whose ids are above `after`.
    pub(super) fn users_after(&self, after: u64, size: usize) -> Vec<(u64, Option<UserView>)> {
        let now = self.clock.now();
        let users = self.directory.page(after, size).into_iter();
        users.map(|user| (user.id, user.is_there(now).then(|| user.view()))).collect()
    }

    /// Adds a guest and opens its session.
    ///
    /// # Errors
    /// `NAME_IN_USE`, `SERVER_FULL`.
    pub(super) fn open_guest(
        &self,
        name: &UserName,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        // Frees the name if its session has expired and no sweep has ended it yet.
        self.find_user(name);
        let (_, session) = self.directory.insert(name, |id| {
            let store = self.engine.open(id);
            let user = Arc::new(User::new(id, name.clone(), false, Privilege::Guest, store));
            let session = self.open_session(&user, token, expiry, now)?;
            Ok((user, session))
        })?;
        Ok(session)
    }

    /// Opens a session of a user.
    ///
    /// # Errors
    /// `SERVER_FULL`.
    pub(super) fn open_session(
        &self,
        user: &Arc<User>,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Result<Arc<Session>> {
        let session = Arc::new(Session::new(Arc::clone(user), token, expiry, now));
        let session = self.sessions.insert(session)?;
        user.adopt(&session);
        Ok(session)
    }

    /// Ends a session; a guest's name and store go with it.
    pub(super) fn end(&self, session: &Session) {
        if session.end() {
            self.sessions.remove(session.token);
            if !session.user.account {
                self.directory.remove(&session.user);
                // A connection may keep the session until its next call, and the session the
                // store.
                session.user.store.release();
            }
        }
    }

    /// Records an access to the owner's store.
    pub(super) fn record_access(&self, owner: &User, row: AccessRow, role: Role) {
        owner.accesses().record(row, role, self.clock.now());
    }

    /// Records the access and puts the entry into another user's store.
    ///
    /// # Errors
    /// As [`Registry::put_other`](super::Registry::put_other).
    pub(super) async fn put_other(
        &self,
        subject: &Subject<'_>,
        name: &UserName,
        put: &Put,
    ) -> Result<Written> {
        let owner = subject.admit(name, self.find_user(name))?;
        let fingerprint = || Fingerprint::of(subject.method().name(), owner.id).put(put);
        let once = once(subject.session()?, put.request_id.as_ref(), fingerprint);
        // Before the write, so that no write is answered without a record of it.
        let (row, role) = AccessRow::of(subject, put.key.as_str())?;
        self.record_access(&owner, row, role);
        owner.store.put(resolve(put, &self.clock)?, once).await
    }

    /// Ends the expired sessions of the next eighth of the table.
    pub(super) fn sweep(&self) {
        for session in self.sessions.overdue(self.clock.now()) {
            self.end(&session);
        }
    }
}
