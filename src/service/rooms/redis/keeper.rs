//! The lease keeper of a room: renews this server's leases in Redis, ends those of streams that
//! have left, and reconciles after a loss.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::leases::{EndedLease, LeaseDifference};
use super::replica::RoomReplica;
use super::{CONCURRENT_CALLS, LEASE, RedisRooms};
use crate::model::Result;
use crate::service::rooms::feed::Generation;
use crate::service::user::User;
use crate::store::redis::rooms::{
    LEASES_PER_CALL, LeaseRenewal, ListEntry, NewRoom, RoomKeys, RoomList,
};

/// Time between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Minimum time until the next renewal of a replica that was marked stale.
const RENEW_STALE_AFTER: Duration = Duration::from_millis(100);
/// Maximum number of calls that end the leases of one lapsed server: more than a full room needs.
const MAX_EXPIRE_CALLS: usize = 1_000;

/// Next steps of the keeper after a renewal.
#[derive(Debug, Default, PartialEq, Eq)]
struct RenewalPlan {
    /// Redis has events that the feed lacks.
    read: bool,
    /// Redis lost events that the feed has: a node that had less took the place of another.
    replace_epoch: bool,
    /// The leases in Redis are not those that are held here.
    reconcile: bool,
    /// The numbers of leases differ, and may still agree at the next renewal: one that begins or
    /// ends at this moment makes a difference.
    differs: bool,
}

impl RenewalPlan {
    /// `expected`: number of leases that Redis should have; `differed`: it had another number of
    /// them at the last renewal.
    fn new(
        renewal: &LeaseRenewal,
        followed: Option<&Generation>,
        expected: u64,
        differed: bool,
    ) -> Self {
        let followed = followed.filter(|generation| generation.epoch() == renewal.epoch);
        let last = followed.map_or(renewal.latest, |generation| generation.feed.last());
        let differs = renewal.leases != expected;
        let reconcile = differs && (differed || renewal.leases == 0);
        Self {
            read: renewal.latest > last,
            replace_epoch: renewal.latest < last,
            reconcile,
            differs: differs && !reconcile,
        }
    }
}

/// Keeps a replica until it is closed.
pub(super) async fn keep(rooms: Arc<RedisRooms>, replica: Arc<RoomReplica>) -> Result<()> {
    let mut next_renewal = Instant::now() + RENEW_EVERY;
    let mut told_at = Instant::now();
    let mut differed = false;
    loop {
        let _ = timeout_at(next_renewal, replica.keeper.notified()).await;
        match rooms.tell_ended(&replica).await {
            Ok(()) => told_at = Instant::now(),
            Err(error) => {
                tracing::debug!(?error, "who left a room could not be told");
                // It is tried again at the next renewal.
                sleep_until(next_renewal).await;
            }
        }
        if replica.take_stale_flag() {
            next_renewal = next_renewal.min(Instant::now() + RENEW_STALE_AFTER);
        }
        if Instant::now() < next_renewal {
            continue;
        }
        next_renewal = Instant::now() + RENEW_EVERY;
        // Leases that Redis was not told the end of have lapsed after that time.
        if rooms.close(&replica, told_at.elapsed() > LEASE) {
            return Ok(());
        }
        match rooms.renew(&replica, differed).await {
            Ok(differs) => differed = differs,
            Err(error) => tracing::debug!(?error, "a room's leases could not be renewed"),
        }
    }
}

impl RedisRooms {
    /// Tells Redis which leases have ended.
    async fn tell_ended(&self, replica: &RoomReplica) -> Result<()> {
        loop {
            let ended = replica.leases.lock().ended(LEASES_PER_CALL);
            if ended.is_empty() {
                return Ok(());
            }
            let numbers: Vec<u64> = ended.iter().map(|lease| lease.number).collect();
            let left = self
                .engine
                .leave_room(&replica.keys, self.server, &numbers, &self.room_limits)
                .await?;
            replica.leases.lock().forget_ended(ended.len());
            let never_joined = ended.into_iter().filter_map(|EndedLease { number, listed }| {
                Some(ListEntry { user: listed?, mark: number })
            });
            let entries = left.into_iter().chain(never_joined).collect();
            self.remove_joined(replica.name.folded(), entries).await;
        }
    }

    /// Renews this server's leases and compares the room with the replica. Returns true if the
    /// numbers of leases differ.
    async fn renew(&self, replica: &RoomReplica, differed: bool) -> Result<bool> {
        let renewed =
            self.engine.renew_leases(&replica.keys, self.server, &self.room_limits).await?;
        let Ok(renewal) = renewed else {
            // The room does not exist any more.
            self.reconcile(replica).await?;
            return Ok(false);
        };
        replica.observe(renewal.epoch, renewal.history_start);
        let followed = replica.feed.generation();
        let expected = replica.leases.lock().expected();
        let plan = RenewalPlan::new(&renewal, followed.as_deref(), expected, differed);
        if plan.read {
            replica.listener.changed.notify_one();
        }
        if plan.replace_epoch {
            let epoch = rand::random();
            self.engine.replace_epoch(&replica.keys, renewal.epoch, epoch).await?;
            replica.mark_stale();
        }
        for server in renewal.lapsed {
            self.expire_leases(replica.name.folded(), &replica.keys, server).await?;
        }
        if plan.reconcile {
            self.reconcile(replica).await?;
        }
        Ok(plan.differs)
    }

    /// Makes the leases in Redis those that are held here, and creates the room if Redis lost it.
    async fn reconcile(&self, replica: &RoomReplica) -> Result<()> {
        let (folded, keys) = (replica.name.folded(), &replica.keys);
        let in_redis = self.engine.leases(keys, self.server).await?;
        let LeaseDifference { missing, stray } = replica.leases.lock().compare(&in_redis);
        for leases in stray.chunks(LEASES_PER_CALL) {
            let left = self.engine.leave_room(keys, self.server, leases, &self.room_limits).await?;
            self.remove_joined(folded, left).await;
        }
        if missing.is_empty() {
            return Ok(());
        }
        // A room that Redis lost is in no list of rooms either. Nobody has created the new one.
        let nobody = ListEntry { user: 0, mark: 0 };
        let (limit, recent) = (self.limits.rooms, self.reservation_time());
        // A list that is full, or has the name, does not matter here.
        let _ = self.engine.reserve_room(folded, nobody, limit, recent).await?;
        let new = NewRoom { epoch: rand::random(), name: replica.name.as_str() };
        let rejoins = iter(missing).map(|(number, user)| self.rejoin(replica, number, user, new));
        let rejoined: Vec<Result<()>> = rejoins.buffered(CONCURRENT_CALLS).collect().await;
        rejoined.into_iter().collect()
    }

    async fn rejoin(
        &self,
        replica: &RoomReplica,
        number: u64,
        user: Arc<User>,
        new: NewRoom<'_>,
    ) -> Result<()> {
        let (keys, user, limits) = (&replica.keys, user.participant(), &self.room_limits);
        let joined =
            self.engine.join_room(keys, &user, self.server, number, limits, Some(new)).await?;
        // A member for whom the room has no place is tried again after the next renewals.
        if let Ok(joined) = joined {
            replica.observe(joined.epoch, joined.history_start);
        }
        Ok(())
    }

    /// Ends the leases of a server that has not renewed them.
    pub(super) async fn expire_leases(
        &self,
        folded: &str,
        keys: &RoomKeys,
        server: u64,
    ) -> Result<()> {
        for _ in 0..MAX_EXPIRE_CALLS {
            let (leases, left) = self.engine.expire_leases(keys, server, &self.room_limits).await?;
            self.remove_joined(folded, left).await;
            if leases == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Removes the room from the lists of users that have left it. Entries that cannot be removed
    /// now are found when such a list is full.
    async fn remove_joined(&self, folded: &str, left: Vec<ListEntry>) {
        let removed = iter(left).map(|entry| async move {
            if let Err(error) = self.engine.remove_from_list(RoomList::Joined, folded, entry).await
            {
                tracing::debug!(?error, "a room could not be taken off a list");
            }
        });
        removed.buffer_unordered(CONCURRENT_CALLS).collect::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Limits;
    use crate::service::rooms::feed::RoomFeed;
    use crate::service::rooms::history::HistoryBudget;

    const EPOCH: u64 = 7;

    #[test]
    fn a_renewal_tells_what_is_to_be_done() {
        let plan = |read, replace_epoch, reconcile, differs| RenewalPlan {
            read,
            replace_epoch,
            reconcile,
            differs,
        };
        let nothing = || plan(false, false, false, false);
        // Epoch, latest event and leases in Redis; leases expected, different before; the plan of a
        // replica that has followed the generation EPOCH up to event 10.
        for (epoch, latest, leases, expected, differed, wanted) in [
            (EPOCH, 10, 2, 2, false, nothing()),
            (EPOCH, 10, 2, 2, true, nothing()),
            (EPOCH, 11, 2, 2, false, plan(true, false, false, false)),
            (EPOCH, 9, 2, 2, false, plan(false, true, false, false)),
            // Another generation is to be followed from its beginning.
            (EPOCH + 1, 9, 2, 2, false, nothing()),
            (EPOCH + 1, 11, 2, 2, false, nothing()),
            // A difference counts once it lasts, or if all leases are lost.
            (EPOCH, 10, 1, 2, false, plan(false, false, false, true)),
            (EPOCH, 10, 3, 2, false, plan(false, false, false, true)),
            (EPOCH, 10, 1, 2, true, plan(false, false, true, false)),
            (EPOCH, 10, 3, 2, true, plan(false, false, true, false)),
            (EPOCH, 10, 0, 2, false, plan(false, false, true, false)),
            (EPOCH, 10, 0, 0, true, nothing()),
            (EPOCH, 3, 0, 1, false, plan(false, true, true, false)),
        ] {
            let budget = Arc::new(HistoryBudget::new(1 << 20));
            let feed = RoomFeed::new(&Limits::default(), budget);
            assert!(feed.begin(EPOCH, 10));
            let renewal =
                LeaseRenewal { epoch, latest, history_start: 0, leases, lapsed: Vec::new() };
            let generation = feed.generation();
            let made = RenewalPlan::new(&renewal, generation.as_deref(), expected, differed);
            assert_eq!(made, wanted, "{renewal:?}, {expected} expected, {differed}");
        }
    }
}
