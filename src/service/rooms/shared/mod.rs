//! Rooms that servers share.
//!
//! A room is in the engine: its events a stream, its members, what they said lately. Here is a
//! [`Hall`] for each room that somebody at this server is in: one task follows the events, and
//! brings them into a feed that the members here follow; another gives up the seats of those who
//! go, and holds the others. The hall ends a moment after its last member here.
//!
//! Whoever comes takes a seat in the engine. Seats are held for a lease, which the hall renews:
//! those of a server that died lapse, and the next server that looks tells the room that their
//! users have left.

mod follow;
mod hall;
mod keep;
mod lists;
mod seat;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use self::hall::Hall;
use self::seat::Hold;
pub(super) use self::seat::Seated;
use super::membership::{Membership, Welcome};
use super::refusal;
use crate::model::{
    Error, Position, Reason, Result, Room as RoomView, RoomName, Saying, User as UserView,
};
use crate::service::limits::Limits;
use crate::service::user::User;
use crate::store::RedisEngine;
use crate::store::redis::rooms::{
    Attended, NewRoom, Refusal, RoomKeys, RoomLimits, RoomUser, Seat,
};

/// How long the seats of a server that died are kept.
const LEASE: Duration = Duration::from_secs(15);
/// How many rooms are looked at side by side.
const AT_ONCE: usize = 32;
/// How many rooms a page asks for at a time.
const PAGE_STEP: usize = 256;
/// What every room may keep here, however many there are: more than the largest event.
const LEAST_SHARE: u64 = 16 << 10;

/// All rooms, as they are from here.
pub(in crate::service) struct Rooms {
    engine: RedisEngine,
    limits: Limits,
    of_room: RoomLimits,
    /// This server, among those on the engine.
    front: u64,
    next_seat: AtomicU64,
    /// By their folded names.
    halls: Mutex<HashMap<String, Arc<Hall>>>,
    /// What all halls keep, in bytes.
    kept: AtomicU64,
    /// Behind which room the next sweep begins, whether one goes on, and how many times it was
    /// asked for.
    swept: AtomicU64,
    sweeping: AtomicBool,
    asked: AtomicU64,
}

impl Rooms {
    pub(super) fn new(engine: RedisEngine, limits: Limits) -> Arc<Self> {
        let of_room = RoomLimits {
            idle: limits.room_idle,
            lease: LEASE,
            messages: limits.room_history,
            bytes: limits.room_history_bytes,
            members: limits.members_per_room,
        };
        Arc::new(Self {
            engine,
            limits,
            of_room,
            front: rand::random(),
            next_seat: AtomicU64::new(1),
            halls: Mutex::default(),
            kept: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        })
    }

    /// In how many somebody here is.
    pub(super) fn len(&self) -> u64 {
        self.halls.lock().len() as u64
    }

    /// How many bytes of their events are kept here.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// What each hall may keep while there is not enough for all.
    fn share(&self) -> usize {
        let share = self.limits.history_bytes / self.len().max(1);
        usize::try_from(share.max(LEAST_SHARE)).unwrap_or(usize::MAX)
    }

    /// Makes the user a member; `make`: of a room that is made if it is not there.
    pub(super) async fn join(
        self: &Arc<Self>,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
        make: bool,
    ) -> Result<Membership> {
        let mut hold = self.enter(user, name);
        hold.listed = self.list_joined(user.id, name, hold.number).await?;
        let attended = self.attend(&hold, user, name, make).await?;
        hold.take();
        let hall = Arc::clone(&hold.hall);
        let life = hall.reach(self, &attended).await?;
        let history = life.feed.first() - 1;
        let (start, gap) = match after {
            None => (history, false),
            Some(after) if after.epoch == life.epoch && after.sequence <= life.feed.last() => {
                (after.sequence, false)
            }
            Some(_) => (history, true),
        };
        let welcome = Welcome {
            room: attended.name,
            members: attended.members,
            member_count: attended.member_count,
            latest: Position { epoch: attended.epoch, sequence: attended.before },
            gap,
        };
        // Who resumes hears all that happened; who is new does not want to know who came and went
        // before.
        let quiet_until = if after.is_some() && !gap { 0 } else { attended.before };
        let follower = life.feed.follow(start);
        Ok(Membership::shared(Seated::new(hold, life), follower, welcome, quiet_until))
    }

    /// Finds the hall of a room, or opens it, and keeps a seat there.
    fn enter(self: &Arc<Self>, user: &Arc<User>, name: &RoomName) -> Hold {
        let number = self.next_seat.fetch_add(1, Ordering::Relaxed);
        let (hall, is_new) = {
            let mut halls = self.halls.lock();
            let known = halls.get(name.folded()).cloned();
            let is_new = known.is_none();
            let hall = known.unwrap_or_else(|| {
                let hall = Hall::new(&self.engine, name, self.engine.room_keys(name.folded()));
                halls.insert(name.folded().to_owned(), Arc::clone(&hall));
                hall
            });
            // Under the lock, so that the hall does not end before.
            hall.reserve(number, user);
            (hall, is_new)
        };
        if is_new {
            follow::start(self, &hall);
            keep::start(self, &hall);
        }
        Hold { rooms: Arc::clone(self), hall, user: Arc::clone(user), number, listed: false }
    }

    async fn attend(
        &self,
        hold: &Hold,
        user: &Arc<User>,
        name: &RoomName,
        make: bool,
    ) -> Result<Attended> {
        let who = as_room_user(user);
        let mut new = None;
        loop {
            match self
                .engine
                .attend(&hold.hall.keys, &who, self.seat(hold.number), &self.of_room, new)
                .await?
            {
                Ok(attended) => return Ok(attended),
                Err(Refusal::NoRoom) if make && new.is_none() => {
                    self.claim(user, name).await?;
                    new = Some(NewRoom { epoch: rand::random(), name: name.as_str() });
                }
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
    }

    const fn seat(&self, number: u64) -> Seat {
        Seat { front: self.front, number }
    }

    /// Says something in a room that is there or else is made; gives its place.
    pub(super) async fn say(
        &self,
        user: &User,
        name: &RoomName,
        saying: &Saying,
    ) -> Result<Position> {
        self.say_in(&self.engine.room_keys(name.folded()), user, name, saying).await
    }

    async fn say_in(
        &self,
        keys: &RoomKeys,
        user: &User,
        name: &RoomName,
        saying: &Saying,
    ) -> Result<Position> {
        let who = as_room_user(user);
        let id = saying.id().map(|id| (id, fingerprint(saying.text())));
        let mut new = None;
        loop {
            match self.engine.say(keys, &who, saying.text(), id, &self.of_room, new).await? {
                Ok(position) => return Ok(position),
                Err(Refusal::NoRoom) if new.is_none() => {
                    self.claim(user, name).await?;
                    new = Some(NewRoom { epoch: rand::random(), name: name.as_str() });
                }
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
    }

    /// The next members of a room behind the user with this id, each with its id.
    pub(super) async fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        let members =
            self.engine.room_members(&self.engine.room_keys(name.folded()), after, size).await?;
        members.map_err(|refused| self.refused(refused, name))
    }

    /// The next rooms behind the one with this number, each with its number.
    pub(super) async fn page(&self, after: u64, size: usize) -> Result<Vec<(u64, RoomView)>> {
        let (mut after, mut found) = (after, Vec::new());
        while found.len() < size {
            let step = PAGE_STEP.min(size);
            let rooms = self.engine.rooms_behind(after, step).await?;
            let (listed, last) = (rooms.len(), rooms.last().map(|(number, _)| *number));
            let seen = iter(rooms).map(|(number, folded)| async move {
                let seen = self.engine.glance(&self.engine.room_keys(&folded)).await?;
                Ok::<_, Error>(seen.map(|(room, _)| (number, room)))
            });
            let seen: Vec<Result<Option<_>>> = seen.buffered(AT_ONCE).collect().await;
            for room in seen {
                found.extend(room?);
            }
            match last {
                Some(last) if listed == step => after = last,
                Some(_) | None => break,
            }
        }
        found.truncate(size);
        Ok(found)
    }

    fn refused(&self, refused: Refusal, name: &RoomName) -> Error {
        match refused {
            Refusal::NoRoom => refusal::not_found(name),
            Refusal::Members => refusal::too_many_members(&self.limits),
            Refusal::Rooms => refusal::too_many_rooms(&self.limits),
            Refusal::Reused => refusal::id_reused(),
            Refusal::NoUser => {
                Error::new(Reason::SessionExpired, "the session has ended, and its user with it")
            }
            Refusal::List(_) => Error::internal("a list was full where none is kept"),
        }
    }
}

fn as_room_user(user: &User) -> RoomUser {
    RoomUser { id: user.id, view: user.view() }
}

/// What tells one text from another, the same at every server.
fn fingerprint(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
    short
}
