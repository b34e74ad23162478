//! Users: name, privilege level, store and access log.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::access_log::AccessLog;
use super::rooms::RoomUsage;
use super::session::Session;
use crate::model::{Participant, Role, UnixMillis, User as UserView, UserName};
use crate::store::Backend;

/// Privilege level of a user, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// A guest.
    Guest,
    /// Manager that promoted itself under the policy `open`; may read the stores of guests only.
    SelfPromoted,
    /// Manager by an account's password or by another manager.
    Manager,
}

impl Privilege {
    /// Returns the role that others see.
    pub fn role(self) -> Role {
        match self {
            Self::Guest => Role::Guest,
            Self::SelfPromoted | Self::Manager => Role::Manager,
        }
    }

    /// Returns the level of an account with this role.
    pub(super) const fn of(role: Role) -> Self {
        match role {
            Role::Guest => Self::Guest,
            Role::Manager => Self::Manager,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Guest,
            1 => Self::SelfPromoted,
            _ => Self::Manager,
        }
    }
}

/// User with its store and its sessions.
pub struct User {
    /// Id; never reused, so that the next owner of a freed name does not get the old store.
    pub id: u64,
    /// Name.
    pub name: UserName,
    /// True for an account of the configuration; any other user exists as long as its session.
    pub account: bool,
    /// Store.
    pub store: Backend,
    privilege: AtomicU8,
    /// True once a shared engine has reported that the user no longer exists.
    gone: AtomicBool,
    accesses: Mutex<AccessLog>,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// Use of the rooms of this process.
    pub(super) rooms: RoomUsage,
}

impl User {
    /// Creates a user.
    pub fn new(
        id: u64,
        name: UserName,
        account: bool,
        privilege: Privilege,
        store: Backend,
    ) -> Self {
        Self {
            id,
            name,
            account,
            store,
            privilege: AtomicU8::new(privilege as u8),
            gone: AtomicBool::new(false),
            accesses: Mutex::default(),
            sessions: Mutex::default(),
            rooms: RoomUsage::default(),
        }
    }

    /// Returns the user's own level, without the grants of its sessions.
    pub fn privilege(&self) -> Privilege {
        Privilege::from_bits(self.privilege.load(Ordering::Acquire))
    }

    /// Returns true if the engine no longer has the user.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Records that the engine no longer has the user.
    pub(super) fn mark_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Sets the level to the one that the engine has.
    pub(super) fn learn(&self, privilege: Privilege) {
        self.privilege.store(privilege as u8, Ordering::Release);
    }

    /// Raises the level; a higher one stays.
    pub fn promote(&self, privilege: Privilege) {
        self.privilege.fetch_max(privilege as u8, Ordering::AcqRel);
    }

    /// Makes the user a guest, and revokes the grants of its sessions.
    pub fn demote(&self) {
        self.privilege.store(Privilege::Guest as u8, Ordering::Release);
        for session in self.sessions() {
            session.revoke();
        }
    }

    /// Returns the user as others see it: with the highest role of any of its sessions.
    pub fn view(&self) -> UserView {
        let granted = self.sessions().iter().map(|session| session.privilege()).max();
        let privilege = granted.unwrap_or(Privilege::Guest).max(self.privilege());
        UserView { name: self.name.as_str().to_owned(), role: privilege.role() }
    }

    /// Returns the user as a participant of a room's event.
    pub(super) fn participant(&self) -> Participant {
        Participant { id: self.id, user: self.view() }
    }

    /// Returns the sessions that have not ended.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|session| !session.has_ended())
            .collect()
    }

    /// Returns true if the user exists: an account always, a guest while a session of it is live.
    pub fn is_there(&self, now: UnixMillis) -> bool {
        self.account || self.sessions().iter().any(|session| session.is_live(now))
    }

    /// Adds a session to those of the user.
    pub(super) fn adopt(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(session));
        sessions.push(Arc::downgrade(session));
    }

    /// Returns the log of other users' accesses to the store.
    pub fn accesses(&self) -> parking_lot::MutexGuard<'_, AccessLog> {
        self.accesses.lock()
    }
}
