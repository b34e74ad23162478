//! Rooms that servers share through Redis.
//!
//! Redis has the state of each room: its events as a stream, its members, recent message ids. A
//! server has a [`RoomReplica`] of each room with members there. One task of it, the follower,
//! reads the events into the feed of those members; another, the lease keeper, tells Redis who has
//! left and renews the membership leases of the others. A replica is closed a moment after the last
//! of its members has left.
//!
//! Each stream of a member has a lease of its own, with a number that is never used again:
//! therefore joins and leaves of one user at one server need no order among each other, and calls
//! can be sent again. The leases of a server that died lapse after [`LEASE`]; the next server that
//! looks at the room then publishes that their users have left.

mod follower;
mod keeper;
mod lease;
mod leases;
mod registry;
mod replica;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::iter;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

pub(super) use self::lease::RedisLease;
use self::replica::RoomReplica;
use self::sweep::SweepState;
use super::history::HistoryBudget;
use super::membership::{Joined, Lease, Welcome};
use super::refusal;
use crate::model::Limits;
use crate::model::{
    ChatMessage, Error, Position, Reason, Result, Room as RoomView, RoomName, User as UserView,
};
use crate::service::user::User;
use crate::store::RedisEngine;
use crate::store::redis::rooms::{NewRoom, RoomKeys, RoomLimits, RoomRefusal, RoomResult};

/// Time after which the leases of a server that does not renew them lapse.
const LEASE: Duration = Duration::from_secs(15);
/// Maximum number of concurrent calls on behalf of one operation.
const CONCURRENT_CALLS: usize = 32;
/// Maximum number of rooms that one call of a listing asks for.
const ROOMS_PER_CALL: usize = 256;

/// All rooms, as this server knows them.
pub(super) struct RedisRooms {
    engine: RedisEngine,
    limits: Limits,
    room_limits: RoomLimits,
    /// Id of this server, unique among those on the engine.
    server: u64,
    next_lease: AtomicU64,
    /// By the rooms' folded names.
    replicas: Mutex<HashMap<String, Arc<RoomReplica>>>,
    budget: Arc<HistoryBudget>,
    sweep: SweepState,
}

impl RedisRooms {
    pub(super) fn new(
        engine: RedisEngine,
        limits: Limits,
        budget: Arc<HistoryBudget>,
    ) -> Arc<Self> {
        let room_limits = RoomLimits {
            idle: limits.room_idle,
            lease: LEASE,
            messages: limits.room_history,
            bytes: limits.room_history_bytes,
            members: limits.members_per_room,
        };
        Arc::new(Self {
            engine,
            limits,
            room_limits,
            server: rand::random(),
            next_lease: AtomicU64::new(1),
            replicas: Mutex::default(),
            budget,
            sweep: SweepState::default(),
        })
    }

    pub(super) async fn join(
        self: &Arc<Self>,
        user: &Arc<User>,
        name: &RoomName,
        create: bool,
    ) -> Result<Joined> {
        let mut lease = self.reserve_lease(user, name);
        lease.listed = self.list_joined(user.id, name, lease.number).await?;
        let (keys, number, server) = (&lease.replica.keys, lease.number, self.server);
        let (who, limits) = (user.participant(), &self.room_limits);
        let joined = self
            .create_if_missing(user, name, create, |new| {
                Box::pin(self.engine.join_room(keys, &who, server, number, limits, new))
            })
            .await?;
        lease.confirm();
        let generation = lease.replica.catch_up(&joined).await?;
        let welcome = Welcome {
            room: joined.name,
            members: joined.members,
            member_count: joined.member_count,
            latest: generation.position(joined.before),
            gap: false,
        };
        let feed = Arc::clone(&lease.replica.feed);
        Ok(Joined { lease: Lease::Redis(lease), feed, generation, welcome })
    }

    /// Finds or opens the replica of a room, and reserves a lease there.
    fn reserve_lease(self: &Arc<Self>, user: &Arc<User>, name: &RoomName) -> RedisLease {
        let number = self.next_lease.fetch_add(1, Ordering::Relaxed);
        let mut opened = None;
        let replica = {
            let mut replicas = self.replicas.lock();
            let replica = replicas.get(name.folded()).cloned().unwrap_or_else(|| {
                let replica = RoomReplica::new(self, name);
                replicas.insert(name.folded().to_owned(), Arc::clone(&replica));
                self.budget.set_rooms(replicas.len());
                opened = Some(Arc::clone(&replica));
                replica
            });
            // Within the lock, since a replica without leases may be closed at any time.
            replica.leases.lock().reserve(number, Arc::clone(user));
            replica
        };
        if let Some(replica) = opened {
            let (rooms, follower) = (Arc::clone(self), Arc::clone(&replica));
            self.engine.in_background(follower::follow(rooms, follower));
            self.engine.in_background(keeper::keep(Arc::clone(self), replica));
        }
        let (rooms, user) = (Arc::clone(self), Arc::clone(user));
        RedisLease { rooms, replica, user, number, listed: false }
    }

    pub(super) async fn publish(
        &self,
        user: &User,
        name: &RoomName,
        message: &ChatMessage,
    ) -> Result<Position> {
        self.publish_in(&self.engine.room_keys(name.folded()), user, name, message).await
    }

    async fn publish_in(
        &self,
        keys: &RoomKeys,
        user: &User,
        name: &RoomName,
        message: &ChatMessage,
    ) -> Result<Position> {
        let (sender, text, limits) = (user.participant(), message.text(), &self.room_limits);
        let id = message.id().map(|id| (id, fingerprint(text)));
        self.create_if_missing(user, name, true, |new| {
            Box::pin(self.engine.publish(keys, &sender, text, id, limits, new))
        })
        .await
    }

    /// Makes a call to a room. If the room does not exist and may be created, reserves its name and
    /// makes the call again with the attributes of a new room.
    async fn create_if_missing<'a, T>(
        &self,
        user: &User,
        name: &'a RoomName,
        create: bool,
        call: impl Fn(Option<NewRoom<'a>>) -> BoxFuture<'a, Result<RoomResult<T>>>,
    ) -> Result<T> {
        let mut result = call(None).await?;
        if create && matches!(result, Err(RoomRefusal::NoRoom)) {
            self.reserve(user, name).await?;
            result = call(Some(NewRoom { epoch: rand::random(), name: name.as_str() })).await?;
        }
        result.map_err(|refused| self.refused(refused, name))
    }

    pub(super) async fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        let keys = self.engine.room_keys(name.folded());
        let members = self.engine.room_members(&keys, after, size).await?;
        members.map_err(|refused| self.refused(refused, name))
    }

    pub(super) async fn page(&self, after: u64, size: usize) -> Result<Vec<(u64, RoomView)>> {
        let (mut after, mut found) = (after, Vec::new());
        while found.len() < size {
            let step = ROOMS_PER_CALL.min(size);
            let rooms = self.engine.rooms_after(after, step).await?;
            let (listed, last) = (rooms.len(), rooms.last().map(|(number, _)| *number));
            let views = iter(rooms).map(|(number, folded)| async move {
                let view = self.engine.peek_room(&self.engine.room_keys(&folded)).await?;
                Ok::<_, Error>(view.map(|(room, _)| (number, room)))
            });
            let views: Vec<Result<Option<_>>> = views.buffered(CONCURRENT_CALLS).collect().await;
            for view in views {
                found.extend(view?);
            }
            match last {
                Some(last) if listed == step => after = last,
                Some(_) | None => break,
            }
        }
        found.truncate(size);
        Ok(found)
    }

    fn refused(&self, refused: RoomRefusal, name: &RoomName) -> Error {
        match refused {
            RoomRefusal::NoRoom => refusal::not_found(name),
            RoomRefusal::RoomFull => refusal::room_full(&self.limits),
            RoomRefusal::TooManyRooms => refusal::too_many_rooms(&self.limits),
            RoomRefusal::MessageIdReused => refusal::id_reused(),
            RoomRefusal::NoUser => {
                Error::new(Reason::SessionExpired, "the session has ended, and its user with it")
            }
            RoomRefusal::ListFull(_) => Error::internal("a list was full where none is kept"),
        }
    }
}

/// Returns what distinguishes one text from another, the same at every server.
fn fingerprint(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
    short
}
