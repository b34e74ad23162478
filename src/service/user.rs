//! Users: name, privilege level, store and access log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// Privilege level of a user at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing(u64);

impl Standing {
    /// Lowest bit of the number of demotions; below it is the level.
    const DEMOTIONS: u32 = 8;

    const fn new(demotions: u64, privilege: Privilege) -> Self {
        Self(demotions << Self::DEMOTIONS | privilege as u64)
    }

    fn privilege(self) -> Privilege {
        Privilege::from_bits(u8::try_from(self.0 & 0xff).unwrap_or(u8::MAX))
    }

    const fn demotions(self) -> u64 {
        self.0 >> Self::DEMOTIONS
    }

    /// Returns true if the user was not demoted between the two moments.
    pub(super) const fn is_of_same_role(self, other: Self) -> bool {
        self.demotions() == other.demotions()
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
    /// A [`Standing`].
    standing: AtomicU64,
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
            standing: AtomicU64::new(Standing::new(0, privilege).0),
            gone: AtomicBool::new(false),
            accesses: Mutex::default(),
            sessions: Mutex::default(),
            rooms: RoomUsage::default(),
        }
    }

    /// Returns the user's own level, without the grants of its sessions.
    pub fn privilege(&self) -> Privilege {
        self.standing().privilege()
    }

    /// Returns the user's own level, and how often it was taken back.
    pub(super) fn standing(&self) -> Standing {
        Standing(self.standing.load(Ordering::Acquire))
    }

    /// Returns true if the engine no longer has the user.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Records that the engine no longer has the user.
    pub(super) fn mark_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Sets the level to the one that the engine had, unless the level was changed here after
    /// `before`, when the engine had not been asked yet.
    pub(super) fn learn(&self, before: Standing, privilege: Privilege) {
        let learnt = Standing::new(before.demotions(), privilege);
        let _ =
            self.standing.compare_exchange(before.0, learnt.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Raises the level; a higher one stays.
    pub fn promote(&self, privilege: Privilege) {
        // The level takes the lowest bits.
        let _ = self.standing.fetch_update(Ordering::AcqRel, Ordering::Acquire, |standing| {
            let standing = Standing(standing);
            Some(Standing::new(standing.demotions(), standing.privilege().max(privilege)).0)
        });
    }

    /// Makes the user a guest, and revokes the grants of its sessions.
    pub fn demote(&self) {
        let _ = self.standing.fetch_update(Ordering::AcqRel, Ordering::Acquire, |standing| {
            Some(Standing::new(Standing(standing).demotions() + 1, Privilege::Guest).0)
        });
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::session::ExpiryPolicy;
    use super::super::token;
    use super::*;
    use crate::store::{Clock, MemoryEngine, StoreLimits};

    /// A look-up that had read the records before a demotion brought the old role back.
    #[test]
    fn a_role_that_was_taken_back_is_not_learnt_from_an_older_look() {
        let limits = StoreLimits {
            max_keys_per_user: 1,
            max_bytes_per_user: 1 << 10,
            max_bytes_total: 1 << 10,
        };
        let engine = MemoryEngine::new(Clock::manual(UnixMillis::default()), limits);
        let user = |name| {
            let store = Backend::Memory(engine.open());
            Arc::new(User::new(1, UserName::new(name).unwrap(), true, Privilege::Guest, store))
        };
        let (user, account) = (user("bob"), user("adam"));
        account.promote(Privilege::Manager);
        let (_, hash) = token::generate();
        let idle = ExpiryPolicy::Idle(Duration::from_secs(1));
        let session = Arc::new(Session::new(Arc::clone(&user), hash, idle, UnixMillis::default()));
        user.adopt(&session);

        let before = user.standing();
        user.learn(before, Privilege::Manager);
        assert_eq!(user.privilege(), Privilege::Manager, "nothing came between");
        let before = user.standing();
        user.demote();
        user.learn(before, Privilege::Manager);
        session.learn_grant(before, Some(Arc::clone(&account)));
        assert_eq!((user.privilege(), session.privilege()), (Privilege::Guest, Privilege::Guest));

        let before = user.standing();
        session.learn_grant(before, Some(account));
        user.promote(Privilege::SelfPromoted);
        user.learn(before, Privilege::Guest);
        assert_eq!(user.privilege(), Privilege::SelfPromoted, "a promotion is not undone either");
        assert_eq!(session.privilege(), Privilege::Manager);
    }
}
