//! Looking after rooms that nobody here is in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use super::{AT_ONCE, Rooms};
use crate::model::Result;

/// At each so many of the service's sweeps, which come every 250 ms, some rooms are looked at.
const EVERY: u64 = 8;
/// How many.
const ROOMS: usize = 128;
/// A name that leads to no room is left alone for so long: longer than anybody takes who is about
/// to make the room.
const CLAIMED_FOR: Duration = Duration::from_secs(60);

impl Rooms {
    /// Looks at some rooms, beside everything else.
    pub(in crate::service::rooms) fn sweep(self: &Arc<Self>) {
        let is_time = self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY);
        if !is_time || self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        self.engine.in_background(async move {
            let swept = this.sweep_some().await;
            this.sweeping.store(false, Ordering::Release);
            swept
        });
    }

    async fn sweep_some(&self) -> Result<()> {
        let rooms = self.engine.rooms_behind(self.swept.load(Ordering::Relaxed), ROOMS).await?;
        let last =
            if rooms.len() < ROOMS { 0 } else { rooms.last().map_or(0, |(number, _)| *number) };
        self.swept.store(last, Ordering::Relaxed);
        let looked = iter(rooms).map(|(_, folded)| async move { self.sweep_one(&folded).await });
        let looked: Vec<Result<()>> = looked.buffer_unordered(AT_ONCE).collect().await;
        looked.into_iter().collect()
    }

    /// Takes a room off the list that is no more, and seats from servers that do not hold them any
    /// more.
    async fn sweep_one(&self, folded: &str) -> Result<()> {
        let keys = self.engine.room_keys(folded);
        let Some((_, lapsed)) = self.engine.glance(&keys).await? else {
            return self.strike(folded, CLAIMED_FOR).await;
        };
        for front in lapsed {
            self.evict(folded, &keys, front).await?;
        }
        Ok(())
    }
}
