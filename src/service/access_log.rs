//! Access log of one store: accesses by other users, recorded for the store's owner.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::authorize::Subject;
use crate::model::{Access, Result, Role, UnixMillis, User};

/// Maximum number of rows; beyond it, the one that was accessed least recently is dropped.
const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// User, protocol, RPC and key of an access. Equal accesses are one row with a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccessRow {
    pub(super) user: String,
    pub(super) account: String,
    pub(super) protocol: &'static str,
    pub(super) method: &'static str,
    pub(super) key: String,
}

impl AccessRow {
    /// Returns the row of an access by an authorised caller, and the caller's role.
    ///
    /// # Errors
    /// `SESSION_EXPIRED`.
    pub(super) fn of(subject: &Subject<'_>, key: &str) -> Result<(Self, Role)> {
        let session = subject.session()?;
        let view = session.view();
        let used = session.account_used();
        let account = used.map(|account| account.name.as_str().to_owned()).unwrap_or_default();
        let (protocol, method) = (subject.caller().protocol, subject.method().name());
        let row = Self { user: view.name, account, protocol, method, key: key.to_owned() };
        Ok((row, view.role))
    }
}

/// Count and times of a row's accesses.
struct AccessTimes {
    /// Role of the accessor at the last access.
    role: Role,
    count: u64,
    first: UnixMillis,
    last: UnixMillis,
    /// Number of the last access in this log. Pages go by it and not by time, since several
    /// accesses may share a millisecond.
    order: u64,
}

/// The 1,000 most recently used rows of a store's access log.
#[derive(Default)]
pub struct AccessLog {
    /// Allocated with the first access, since most stores are never used by another user.
    rows: Option<LruCache<AccessRow, AccessTimes>>,
    order: u64,
}

impl AccessLog {
    /// Records an access.
    pub(super) fn record(&mut self, row: AccessRow, role: Role, now: UnixMillis) {
        self.order += 1;
        let order = self.order;
        // Unbounded, since a bounded cache allocates all its rows at once; the bound is enforced
        // below.
        let rows = self.rows.get_or_insert_with(LruCache::unbounded);
        let times = rows.get_or_insert_mut(row, || AccessTimes {
            role,
            count: 0,
            first: now,
            last: now,
            order,
        });
        times.count += 1;
        times.last = now;
        times.role = role;
        times.order = order;
        if rows.len() > MAX_ROWS.get() {
            rows.pop_lru();
        }
    }

    /// Returns the latest rows whose order is below `before`, and the order of the last of them if
    /// there are more.
    pub(super) fn page(&self, before: Option<u64>, size: usize) -> (Vec<Access>, Option<u64>) {
        let Some(rows) = &self.rows else { return (Vec::new(), None) };
        let mut behind = rows
            .iter()
            .filter(|(_, times)| before.is_none_or(|before| times.order < before))
            .peekable();
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < size
            && let Some((row, times)) = behind.next()
        {
            page.push(access(row, times));
            last = Some(times.order);
        }
        let more = behind.peek().is_some();
        (page, last.filter(|_| more))
    }
}

fn access(row: &AccessRow, times: &AccessTimes) -> Access {
    Access {
        user: User { name: row.user.clone(), role: times.role },
        account: row.account.clone(),
        protocol: row.protocol.into(),
        method: row.method,
        key: row.key.clone(),
        count: times.count,
        first_time: times.first,
        last_time: times.last,
    }
}
