//! Sessions: the caller's identity, expiry and privilege.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::token::TokenHash;
use super::user::{Privilege, Standing, User};
use crate::model::{UnixMillis, User as UserView};
use crate::store::Backend;

/// Expiry policy of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryPolicy {
    /// Expires after this time without use; an open stream is use.
    Idle(Duration),
    /// Expires at this time.
    Until(UnixMillis),
    /// Ends with its connection.
    Connection,
}

/// Milliseconds by which a refresh may seem to be in the future, since calls read the time at
/// different moments.
const CLOCK_SET_BACK: u64 = 1_000;

/// State of a session that other servers know too.
#[derive(Default)]
struct RemoteState {
    /// Time of the last refresh from the engine, in Unix milliseconds; 0 if no other server knows
    /// the session.
    seen: AtomicU64,
    /// True while a refresh is under way.
    asking: AtomicBool,
    /// Time until which the engine keeps the session, in Unix milliseconds.
    held: AtomicU64,
}

/// An open session.
///
/// The fields that every call reads come first, so that they share cache lines: with many sessions,
/// each line is a miss.
#[repr(C)]
pub struct Session {
    pub(super) token: TokenHash,
    /// Store of the user, so that an access to a key does not go through the user.
    pub(super) store: Backend,
    /// Time of the last use, in Unix milliseconds.
    last_use: AtomicU64,
    expiry: ExpiryPolicy,
    ended: AtomicBool,
    streams: AtomicU32,
    /// User of the session.
    pub user: Arc<User>,
    /// Signal to open streams that the session has ended; allocated with the first stream.
    told: Mutex<Option<CancellationToken>>,
    /// Account whose password was given in this session.
    grant: Mutex<Option<Arc<User>>>,
    remote: RemoteState,
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
            remote: RemoteState::default(),
        }
    }

    /// Returns the higher of the user's own level and the present level of the account that was
    /// granted.
    pub fn privilege(&self) -> Privilege {
        let granted =
            self.grant.lock().as_ref().map_or(Privilege::Guest, |account| account.privilege());
        self.user.privilege().max(granted)
    }

    /// Returns the account whose role is used: `None` if the user's own level is as high.
    pub fn account_used(&self) -> Option<Arc<User>> {
        let own = self.user.privilege();
        self.grant.lock().as_ref().filter(|account| account.privilege() > own).cloned()
    }

    /// Returns the user, with the session's role.
    pub fn view(&self) -> UserView {
        UserView { name: self.user.name.as_str().to_owned(), role: self.privilege().role() }
    }

    /// Grants the privilege of an account, as long as the account has it.
    pub(super) fn grant(&self, account: Arc<User>) {
        let mut grant = self.grant.lock();
        if grant.as_ref().is_none_or(|old| old.privilege() <= account.privilege()) {
            *grant = Some(account);
        }
    }

    /// Revokes the grant.
    pub(super) fn revoke(&self) {
        *self.grant.lock() = None;
    }

    /// Applies the engine's grant, unless the user's role was taken back after `before`.
    pub(super) fn learn_grant(&self, before: Standing, account: Option<Arc<User>>) {
        let mut grant = self.grant.lock();
        // Under the lock: a demotion that has begun meanwhile revokes the grant after it.
        if self.user.standing().is_of_same_role(before) {
            *grant = account;
        }
    }

    /// Applies the engine's state: the time until which the session is kept, and its last use.
    ///
    /// The time replaces the one known here: one that is too late would keep the session from being
    /// extended, and one that is too early costs an extension.
    pub(super) fn learn(&self, held: UnixMillis, last_use: UnixMillis, now: UnixMillis) {
        self.remote.held.store(held.as_u64(), Ordering::Release);
        self.last_use.fetch_max(last_use.as_u64(), Ordering::AcqRel);
        self.remote.seen.fetch_max(now.as_u64(), Ordering::AcqRel);
    }

    /// Returns the time since the last refresh; zero if the session is not shared.
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        match self.remote.seen.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            // The engine's clock was set back.
            seen if seen > now.as_u64().saturating_add(CLOCK_SET_BACK) => Duration::MAX,
            seen => now.duration_since(UnixMillis::new(seen)),
        }
    }

    /// Begins a refresh: returns true if none is under way. The caller then ends it with
    /// [`end_refresh`](Self::end_refresh).
    pub(super) fn begin_refresh(&self) -> bool {
        !self.remote.asking.swap(true, Ordering::AcqRel)
    }

    /// Ends a refresh.
    pub(super) fn end_refresh(&self) {
        self.remote.asking.store(false, Ordering::Release);
    }

    /// Returns the time until which the engine keeps the session.
    pub(super) fn kept_until(&self) -> UnixMillis {
        UnixMillis::new(self.remote.held.load(Ordering::Acquire))
    }

    /// Records that the engine keeps the session until this time.
    pub(super) fn set_kept_until(&self, until: UnixMillis) {
        self.remote.held.fetch_max(until.as_u64(), Ordering::AcqRel);
    }

    /// Returns the expiry policy.
    pub(super) const fn expiry_policy(&self) -> ExpiryPolicy {
        self.expiry
    }

    /// Returns the time of the last use: `now` while a stream is open.
    pub(super) fn last_use(&self, now: UnixMillis) -> UnixMillis {
        if self.has_streams() {
            now
        } else {
            UnixMillis::new(self.last_use.load(Ordering::Relaxed))
        }
    }

    /// Returns true while a stream is open.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    /// Records a use.
    pub fn touch(&self, now: UnixMillis) {
        // Written only if the millisecond differs: calls of one session on many cores would contend
        // for the cache line.
        let now = now.as_u64();
        if self.last_use.load(Ordering::Relaxed) < now {
            self.last_use.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Returns the time at which the session expires without further use; `None` if it ends with
    /// its connection.
    pub fn expire_time(&self, now: UnixMillis) -> Option<UnixMillis> {
        match self.expiry {
            ExpiryPolicy::Until(end) => Some(end),
            ExpiryPolicy::Connection => None,
            ExpiryPolicy::Idle(idle) => Some(self.last_use(now).saturating_add(idle)),
        }
    }

    /// Returns true if the session has neither ended nor expired.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        !self.has_ended() && self.expire_time(now).is_none_or(|end| now < end)
    }

    /// Returns true if the session was ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the session; returns true to the first caller only.
    pub(super) fn end(&self) -> bool {
        let first = !self.ended.swap(true, Ordering::AcqRel);
        if let Some(told) = self.told.lock().take() {
            told.cancel();
        }
        first
    }

    /// Returns a token that is cancelled when the session ends.
    pub fn end_signal(&self) -> CancellationToken {
        let signal = self.told.lock().get_or_insert_default().clone();
        // The session may have ended before the signal was stored.
        if self.has_ended() {
            signal.cancel();
        }
        signal
    }
}

/// Open stream of a session, which keeps the session in use.
pub struct StreamGuard {
    session: Arc<Session>,
    clock: crate::store::Clock,
}

impl StreamGuard {
    /// Opens a stream.
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
