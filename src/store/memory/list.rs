//! Listings.

use crate::model::{ListedEntry, Position, Result, UnixMillis};
use crate::store::seeded::{self, Bug};
use crate::store::{ListQuery, Listed};

use super::entry::Entry;
use super::state::State;

/// How many entries a call looks at, give or take a partition: about a millisecond, for which
/// others wait. Without such a limit, a rare prefix would keep them waiting for as long as the
/// whole store takes.
const EXAMINED_PER_CALL: usize = 10_000;

impl State {
    /// The next rows. The order is that of the keys' hashes, and of the keys where those are equal:
    /// it says nothing, but stays as it is whatever comes and goes, and a page costs a look at the
    /// few partitions that it comes from.
    pub(super) fn list(
        &self,
        query: &ListQuery<'_>,
        position: Position,
        now: UnixMillis,
    ) -> Result<Listed> {
        let after = query
            .after
            .map(|key| (self.table.order_of(key.as_str().as_bytes()), key.as_str().as_bytes()));
        let mut page = Page { rows: Vec::new(), bytes: 0, query };
        let mut examined = 0;
        let mut partitions =
            self.table.partitions_from(after.map_or(0, |(order, _)| order)).peekable();
        while let Some(partition) = partitions.next() {
            let wanted = |entry: &Entry<'_>| {
                entry.key().starts_with(query.prefix.as_str().as_bytes()) && !entry.is_due(now)
            };
            let place = |entry: Entry<'_>| self.table.order_of(entry.key());
            let mut found: Vec<(u64, Entry<'_>)> =
                partition.entries().filter(wanted).map(|entry| (place(entry), entry)).collect();
            found.retain(|(order, entry)| after.is_none_or(|after| after < (*order, entry.key())));
            let order = |(a, one): &(u64, Entry<'_>), (b, other): &(u64, Entry<'_>)| {
                a.cmp(b).then_with(|| one.key().cmp(other.key()))
            };
            // One more than there is room for tells that there is more.
            let room = query.max_rows.max(1).saturating_sub(page.rows.len());
            if found.len() > room + 1 {
                found.select_nth_unstable_by(room, order);
                found.truncate(room + 1);
            }
            found.sort_unstable_by(order);
            for (_, entry) in found {
                if !page.add(entry)? {
                    return Ok(
                        page.end(position, seeded::on(Bug::KeySkippedInListing).then_some(entry))
                    );
                }
            }
            examined += partition.len() + 1;
            if examined >= EXAMINED_PER_CALL && partitions.peek().is_some() {
                let last = partition.entries().max_by_key(|entry| (place(*entry), entry.key()));
                if let Some(last) = last {
                    let next = Some(last.to_key()?);
                    return Ok(Listed { rows: page.rows, next, position });
                }
            }
        }
        Ok(Listed { rows: page.rows, next: None, position })
    }
}

struct Page<'a> {
    rows: Vec<ListedEntry>,
    bytes: usize,
    query: &'a ListQuery<'a>,
}

impl Page<'_> {
    /// Adds a row, if it has room for it.
    fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        let value_len = if self.query.keys_only { 0 } else { entry.value().len() };
        let bytes = self.bytes.saturating_add(entry.key().len() + value_len);
        if !self.rows.is_empty()
            && (self.rows.len() >= self.query.max_rows || bytes > self.query.max_bytes)
        {
            return Ok(false);
        }
        let value = (!self.query.keys_only).then(|| entry.to_value());
        self.rows.push(ListedEntry {
            key: entry.to_key()?,
            value,
            revision: entry.revision(),
            expire_time: entry.expire_time(),
        });
        self.bytes = bytes;
        Ok(true)
    }

    fn end(self, position: Position, skipped: Option<Entry<'_>>) -> Listed {
        let last = self.rows.last().map(|row| row.key.clone());
        let next = skipped.and_then(|entry| entry.to_key().ok()).or(last);
        Listed { rows: self.rows, next, position }
    }
}
