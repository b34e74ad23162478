//! A user: its name, its privilege, its store, and who else used that store.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::access_log::AccessLog;
use super::rooms::RoomUsage;
use super::session::Session;
use crate::model::{Participant, Role, UnixMillis, User as UserView, UserName};
use crate::store::Backend;

/// How a user came by its role, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// A guest.
    Guest,
    /// A manager by its own word, under the policy `open`: may read the stores of guests, nothing
    /// more.
    SelfPromoted,
    /// A manager by a password or another manager's word.
    Manager,
}

impl Privilege {
    /// The role that others see.
    pub fn role(self) -> Role {
        match self {
            Self::Guest => Role::Guest,
            Self::SelfPromoted | Self::Manager => Role::Manager,
        }
    }

    /// That of an account with this role.
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

/// A user of the directory.
pub struct User {
    /// Never reused, so that a freed name taken again never sees the old store.
    pub id: u64,
    /// Its name.
    pub name: UserName,
    /// Whether it is an account of the configuration; otherwise it lives as long as its session.
    pub account: bool,
    /// Its store.
    pub store: Backend,
    privilege: AtomicU8,
    /// Whether the engine that servers share no longer knows it.
    gone: AtomicBool,
    accesses: Mutex<AccessLog>,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// Its use of the rooms of this process.
    pub(super) rooms: RoomUsage,
}

impl User {
    /// A user with an empty store.
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

    /// How it came by its role, without what its sessions were granted.
    pub fn privilege(&self) -> Privilege {
        Privilege::from_bits(self.privilege.load(Ordering::Acquire))
    }

    /// The engine no longer knows it.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Notes that the engine no longer knows it.
    pub(super) fn mark_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Takes the privilege that the engine says.
    pub(super) fn learn(&self, privilege: Privilege) {
        self.privilege.store(privilege as u8, Ordering::Release);
    }

    /// Raises its privilege, or leaves it if it is higher.
    pub fn promote(&self, privilege: Privilege) {
        self.privilege.fetch_max(privilege as u8, Ordering::AcqRel);
    }

    /// Makes it a guest, and takes from its sessions what they were granted.
    pub fn demote(&self) {
        self.privilege.store(Privilege::Guest as u8, Ordering::Release);
        for session in self.sessions() {
            session.revoke();
        }
    }

    /// The user as others see it: with the highest role that any of its sessions has.
    pub fn view(&self) -> UserView {
        let granted = self.sessions().iter().map(|session| session.privilege()).max();
        let privilege = granted.unwrap_or(Privilege::Guest).max(self.privilege());
        UserView { name: self.name.as_str().to_owned(), role: privilege.role() }
    }

    /// Returns the user as a participant of a room's event.
    pub(super) fn participant(&self) -> Participant {
        Participant { id: self.id, user: self.view() }
    }

    /// Its live sessions.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|session| !session.has_ended())
            .collect()
    }

    /// Whether it is still there: a guest only while a session of it is live.
    pub fn is_there(&self, now: UnixMillis) -> bool {
        self.account || self.sessions().iter().any(|session| session.is_live(now))
    }

    /// Counts a session among its own.
    pub(super) fn adopt(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(session));
        sessions.push(Arc::downgrade(session));
    }

    /// What others did with its store.
    pub fn accesses(&self) -> parking_lot::MutexGuard<'_, AccessLog> {
        self.accesses.lock()
    }
}
