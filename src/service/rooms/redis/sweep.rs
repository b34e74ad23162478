//! The sweep: looks after rooms that have no members at any server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use super::{CONCURRENT_CALLS, RedisRooms};
use crate::model::Result;

/// One in this many of the service's sweeps, which come every 250 ms, visits rooms.
const EVERY: u64 = 8;
/// Maximum number of rooms that one sweep visits.
const ROOMS_PER_SWEEP: usize = 128;
/// Time for which a name that leads to no room is left in the list: longer than any
/// server takes to create the room.
const RESERVED_FOR: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct SweepState {
    /// Number of sweeps that the service asked for.
    asked: AtomicU64,
    running: AtomicBool,
    /// Number of the last room that was visited.
    last: AtomicU64,
}

impl RedisRooms {
    /// Visits some rooms in the background.
    pub(in crate::service::rooms) fn sweep(self: &Arc<Self>) {
        let is_time = self.sweep.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY);
        if !is_time || self.sweep.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        self.engine.in_background(async move {
            let swept = this.sweep_some().await;
            this.sweep.running.store(false, Ordering::Release);
            swept
        });
    }

    async fn sweep_some(&self) -> Result<()> {
        let after = self.sweep.last.load(Ordering::Relaxed);
        let rooms = self.engine.rooms_after(after, ROOMS_PER_SWEEP).await?;
        let last = rooms.last().filter(|_| rooms.len() == ROOMS_PER_SWEEP);
        self.sweep.last.store(last.map_or(0, |(number, _)| *number), Ordering::Relaxed);
        let swept = iter(rooms).map(|(_, folded)| async move { self.sweep_one(&folded).await });
        let swept: Vec<Result<()>> = swept.buffer_unordered(CONCURRENT_CALLS).collect().await;
        swept.into_iter().collect()
    }

    /// Takes a room that has ended off the list; of one that exists, ends leases that have lapsed.
    async fn sweep_one(&self, folded: &str) -> Result<()> {
        let keys = self.engine.room_keys(folded);
        let Some((_, lapsed)) = self.engine.peek_room(&keys).await? else {
            return self.unregister(folded, RESERVED_FOR).await;
        };
        for server in lapsed {
            self.expire_leases(folded, &keys, server).await?;
        }
        Ok(())
    }
}
