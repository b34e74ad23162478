//! A session: who a caller is, for how long, and with what role.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::token::TokenHash;
use super::user::{Privilege, User};
use crate::model::{UnixMillis, User as UserView};
use crate::store::Backend;

/// How long a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryPolicy {
    /// So long after its last use; an open stream is use.
    Idle(Duration),
    /// Until then.
    Until(UnixMillis),
    /// As long as its connection, which ends it.
    Connection,
}

/// What a server knows of a session that others know too.
#[derive(Default)]
struct Shared {
    /// When the engine was last asked, in Unix milliseconds; 0: never, since no other server knows
    /// of the session.
    seen: AtomicU64,
    /// Whether it is being asked.
    asking: AtomicBool,
    /// Until when the engine keeps it, in Unix milliseconds.
    held: AtomicU64,
}

/// An open session.
///
/// What every call looks at comes first, together: with many users it comes from far away, so it
/// has few lines to come by.
#[repr(C)]
pub struct Session {
    pub(super) token: TokenHash,
    /// Its user's store, so that the way to a key is not by the user.
    pub(super) store: Backend,
    /// Unix milliseconds.
    last_use: AtomicU64,
    expiry: ExpiryPolicy,
    ended: AtomicBool,
    streams: AtomicU32,
    /// Whose it is.
    pub user: Arc<User>,
    /// Tells its open streams that it ended; only sessions that had one have it.
    told: Mutex<Option<CancellationToken>>,
    /// The account whose password was given in this session.
    grant: Mutex<Option<Arc<User>>>,
    shared: Shared,
}

impl Session {
    pub(super) fn new(
        user: Arc<User>,
        token: TokenHash,
        expiry: ExpiryPolicy,
        now: UnixMillis,
    ) -> Self {
        Self {
            token,
            store: user.store.clone(),
            last_use: AtomicU64::new(now.as_u64()),
            expiry,
            ended: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            user,
            told: Mutex::new(None),
            grant: Mutex::new(None),
            shared: Shared::default(),
        }
    }

    /// The higher of its user's privilege and, if a password was given in it, that account's as it
    /// is now.
    pub fn privilege(&self) -> Privilege {
        let granted =
            self.grant.lock().as_ref().map_or(Privilege::Guest, |account| account.privilege());
        self.user.privilege().max(granted)
    }

    /// The account whose role it uses: none if its user's own privilege is as high.
    pub fn account_used(&self) -> Option<Arc<User>> {
        let own = self.user.privilege();
        self.grant.lock().as_ref().filter(|account| account.privilege() > own).cloned()
    }

    /// Who it is, with the role that it has.
    pub fn view(&self) -> UserView {
        UserView { name: self.user.name.as_str().to_owned(), role: self.privilege().role() }
    }

    /// Takes an account's role from now on, as long as the account has it.
    pub(super) fn grant(&self, account: Arc<User>) {
        let mut grant = self.grant.lock();
        if grant.as_ref().is_none_or(|old| old.privilege() <= account.privilege()) {
            *grant = Some(account);
        }
    }

    /// Takes back what a password gave.
    pub(super) fn revoke(&self) {
        *self.grant.lock() = None;
    }

    /// Takes what the engine says: the account whose password was given, and until when it keeps
    /// the session.
    pub(super) fn learn(
        &self,
        grant: Option<Arc<User>>,
        held: UnixMillis,
        last_use: UnixMillis,
        now: UnixMillis,
    ) {
        *self.grant.lock() = grant;
        self.shared.held.fetch_max(held.as_u64(), Ordering::AcqRel);
        self.last_use.fetch_max(last_use.as_u64(), Ordering::AcqRel);
        self.shared.seen.fetch_max(now.as_u64(), Ordering::AcqRel);
    }

    /// How long ago the engine was asked about it; zero where there is none to ask.
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        match self.shared.seen.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            seen => now.duration_since(UnixMillis::new(seen)),
        }
    }

    /// Whether nobody asks the engine about it; then the caller does, until [`end_refresh`](Self::end_refresh).
    pub(super) fn begin_refresh(&self) -> bool {
        !self.shared.asking.swap(true, Ordering::AcqRel)
    }

    /// The engine has been asked.
    pub(super) fn end_refresh(&self) {
        self.shared.asking.store(false, Ordering::Release);
    }

    /// Until when the engine keeps it.
    pub(super) fn kept_until(&self) -> UnixMillis {
        UnixMillis::new(self.shared.held.load(Ordering::Acquire))
    }

    /// The engine keeps it until then.
    pub(super) fn set_kept_until(&self, until: UnixMillis) {
        self.shared.held.fetch_max(until.as_u64(), Ordering::AcqRel);
    }

    /// How long it lives.
    pub(super) const fn expiry_policy(&self) -> ExpiryPolicy {
        self.expiry
    }

    /// Its last use; now, while a stream of it is open.
    pub(super) fn last_use(&self, now: UnixMillis) -> UnixMillis {
        if self.has_streams() {
            now
        } else {
            UnixMillis::new(self.last_use.load(Ordering::Relaxed))
        }
    }

    /// Whether a stream of it is open.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    /// Counts as use now.
    pub fn touch(&self, now: UnixMillis) {
        // A store only when the millisecond is another: calls of one session on many cores would
        // pass the line around.
        let now = now.as_u64();
        if self.last_use.load(Ordering::Relaxed) < now {
            self.last_use.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// When it ends, if it is not used until then; `None`: with its connection.
    pub fn expire_time(&self, now: UnixMillis) -> Option<UnixMillis> {
        match self.expiry {
            ExpiryPolicy::Until(end) => Some(end),
            ExpiryPolicy::Connection => None,
            ExpiryPolicy::Idle(idle) => Some(self.last_use(now).saturating_add(idle)),
        }
    }

    /// Whether it can be used.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        !self.has_ended() && self.expire_time(now).is_none_or(|end| now < end)
    }

    /// Whether it was ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends it; true for the one caller that did.
    pub(super) fn end(&self) -> bool {
        let first = !self.ended.swap(true, Ordering::AcqRel);
        if let Some(told) = self.told.lock().take() {
            told.cancel();
        }
        first
    }

    /// Cancelled when it ends.
    pub fn end_signal(&self) -> CancellationToken {
        let signal = self.told.lock().get_or_insert_default().clone();
        // It may have ended before the signal was there to be found.
        if self.has_ended() {
            signal.cancel();
        }
        signal
    }
}

/// An open stream of a session: as long as it lives, the session is in use.
pub struct StreamGuard {
    session: Arc<Session>,
    clock: crate::store::Clock,
}

impl StreamGuard {
    /// Opens one.
    pub fn new(session: Arc<Session>, clock: crate::store::Clock) -> Self {
        session.streams.fetch_add(1, Ordering::AcqRel);
        Self { session, clock }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.session.touch(self.clock.now());
        self.session.streams.fetch_sub(1, Ordering::AcqRel);
    }
}
