//! The access log of one store: what others did with it, for its owner.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::model::{Access, UnixMillis, User};

/// The rows that stay.
const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Who did what, by which protocol, to which key. Equal rows are one row with a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct What {
    pub(super) user: String,
    pub(super) account: String,
    pub(super) protocol: &'static str,
    pub(super) method: &'static str,
    pub(super) key: String,
}

struct Times {
    role: crate::model::Role,
    count: u64,
    first: UnixMillis,
    last: UnixMillis,
    /// Rises with each access: what pages go by, since many accesses share a millisecond.
    order: u64,
}

/// The last 1,000 rows of a store's accesses.
#[derive(Default)]
pub struct Accesses {
    /// Most stores are never read by another: those pay nothing.
    rows: Option<LruCache<What, Times>>,
    order: u64,
}

impl Accesses {
    /// Puts an access on record.
    pub(super) fn record(&mut self, what: What, role: crate::model::Role, now: UnixMillis) {
        self.order += 1;
        let order = self.order;
        // Unbounded, since the bounded cache allocates all its rows at once; the bound is held
        // below.
        let rows = self.rows.get_or_insert_with(LruCache::unbounded);
        let times =
            rows.get_or_insert_mut(what, || Times { role, count: 0, first: now, last: now, order });
        times.count += 1;
        times.last = now;
        times.role = role;
        times.order = order;
        if rows.len() > MAX_ROWS.get() {
            rows.pop_lru();
        }
    }

    /// The latest rows whose order is below `before`, with that of the last one if there are more.
    pub(super) fn page(&self, before: Option<u64>, size: usize) -> (Vec<Access>, Option<u64>) {
        let Some(rows) = &self.rows else { return (Vec::new(), None) };
        let mut behind = rows
            .iter()
            .filter(|(_, times)| before.is_none_or(|before| times.order < before))
            .peekable();
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < size
            && let Some((what, times)) = behind.next()
        {
            page.push(access(what, times));
            last = Some(times.order);
        }
        let more = behind.peek().is_some();
        (page, last.filter(|_| more))
    }
}

fn access(what: &What, times: &Times) -> Access {
    Access {
        user: User { name: what.user.clone(), role: times.role },
        account: what.account.clone(),
        protocol: what.protocol.into(),
        method: what.method,
        key: what.key.clone(),
        count: times.count,
        first_time: times.first,
        last_time: times.last,
    }
}
