//! Listings.

use crate::model::{ListedEntry, Position, Result, UnixMillis};
use crate::store::{ListParts, ListQuery, Listed};

use super::map::MapSlot;
use super::state::StoreState;

/// Number of entries after which a call ends, up to a partition more: about a millisecond under the
/// lock. Without this limit, a rare prefix would lock the store for as long as reading all of it
/// takes.
const EXAMINED_PER_CALL: usize = 10_000;

impl StoreState {
    /// Returns the next rows. Their order is that of the keys' hashes, and of the keys where hashes
    /// are equal: it has no meaning, but does not change, and a page reads only the few partitions
    /// that its rows come from.
    pub(super) fn list(
        &self,
        query: &ListQuery<'_>,
        position: Position,
        now: UnixMillis,
    ) -> Result<Listed> {
        let after = query
            .after
            .map(|key| (self.map.order_of(key.as_str().as_bytes()), key.as_str().as_bytes()));
        let mut page = PageBuilder { rows: Vec::new(), bytes: 0, query };
        let mut examined = 0;
        let mut partitions =
            self.map.partitions_from(after.map_or(0, |(order, _)| order)).peekable();
        while let Some(partition) = partitions.next() {
            let wanted = |slot: &MapSlot<'_>| {
                slot.key().starts_with(query.prefix.as_str().as_bytes()) && !slot.is_due(now)
            };
            let order_of = |slot: MapSlot<'_>| self.map.order_of(slot.key());
            let mut found: Vec<(u64, MapSlot<'_>)> =
                partition.slots().filter(wanted).map(|slot| (order_of(slot), slot)).collect();
            found.retain(|(order, slot)| after.is_none_or(|after| after < (*order, slot.key())));
            let compare = |(a, one): &(u64, MapSlot<'_>), (b, other): &(u64, MapSlot<'_>)| {
                a.cmp(b).then_with(|| one.key().cmp(other.key()))
            };
            // One row more than fits shows that there are more.
            let room = query.max_rows.max(1).saturating_sub(page.rows.len());
            if found.len() > room + 1 {
                found.select_nth_unstable_by(room, compare);
                found.truncate(room + 1);
            }
            found.sort_unstable_by(compare);
            for (_, slot) in found {
                if !page.add(slot)? {
                    let next = page.rows.last().map(|row| row.key.clone());
                    return Ok(Listed { rows: page.rows, next, position });
                }
            }
            examined += partition.len() + 1;
            if examined >= EXAMINED_PER_CALL && partitions.peek().is_some() {
                let last = partition.slots().max_by_key(|slot| (order_of(*slot), slot.key()));
                if let Some(last) = last {
                    let next = Some(last.to_key()?);
                    return Ok(Listed { rows: page.rows, next, position });
                }
            }
        }
        Ok(Listed { rows: page.rows, next: None, position })
    }
}

struct PageBuilder<'a> {
    rows: Vec<ListedEntry>,
    bytes: usize,
    query: &'a ListQuery<'a>,
}

impl PageBuilder<'_> {
    /// Adds a row; returns false if it does not fit.
    fn add(&mut self, slot: MapSlot<'_>) -> Result<bool> {
        let with_value = self.query.parts == ListParts::Entries;
        let value_len = if with_value { slot.value().len() } else { 0 };
        let bytes = self.bytes.saturating_add(slot.key().len() + value_len);
        if !self.rows.is_empty()
            && (self.rows.len() >= self.query.max_rows || bytes > self.query.max_bytes)
        {
            return Ok(false);
        }
        self.rows.push(ListedEntry {
            key: slot.to_key()?,
            value: with_value.then(|| slot.to_value()),
            revision: slot.revision(),
            expire_time: slot.expire_time(),
        });
        self.bytes = bytes;
        Ok(true)
    }
}
