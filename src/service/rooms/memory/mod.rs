//! Rooms of this process alone.
//!
//! A room is a [`Feed`](crate::store::feed::Feed) that its members follow, and a table of who they
//! are. Both change under the room's lock, so that everybody hears of the same comings, goings and
//! messages in the same order. Locks are taken in this order: the table of rooms, a room.

mod recent;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub(super) use self::room::Room;
use super::{Membership, refusal, talk};
use crate::model::{Position, Result, Room as RoomView, RoomName, Saying, User as UserView};
use crate::service::limits::Limits;
use crate::service::user::User;
use crate::store::Clock;

/// How many rooms one sweep looks at.
const SWEPT_AT_ONCE: usize = 512;
/// What every room may keep, however many there are: more than the largest event.
const LEAST_SHARE: u64 = 16 << 10;

/// All rooms.
pub(in crate::service) struct Rooms {
    table: Mutex<Table>,
    shared: Arc<Shared>,
}

/// What a room knows of the others.
struct Shared {
    limits: Limits,
    clock: Clock,
    rooms: AtomicU64,
    /// What all rooms keep, in bytes.
    kept: AtomicU64,
    /// Whether that is too much, so that each has to make room.
    crowded: AtomicBool,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<String, Arc<Room>>,
    by_id: BTreeMap<u64, Arc<Room>>,
    last_id: u64,
    /// The last room that a sweep looked at.
    swept: u64,
}

impl Shared {
    /// What each room may keep while there is not enough for all.
    fn share(&self) -> usize {
        let rooms = self.rooms.load(Ordering::Relaxed).max(1);
        usize::try_from((self.limits.history_bytes / rooms).max(LEAST_SHARE)).unwrap_or(usize::MAX)
    }
}

impl Rooms {
    pub(super) fn new(limits: Limits, clock: Clock) -> Self {
        let (rooms, kept, crowded) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self {
            table: Mutex::default(),
            shared: Arc::new(Shared { limits, clock, rooms, kept, crowded }),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.shared.rooms.load(Ordering::Relaxed)
    }

    /// How many bytes they keep.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.shared.kept.load(Ordering::Relaxed)
    }

    /// Makes the user a member, of a room that is there or else is made.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, `SERVER_FULL`.
    pub(super) fn join(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
    ) -> Result<Membership> {
        loop {
            // A room that ends while it is joined is not found again.
            if let Some(joined) = self.find_or_make(user, name, true)?.join(user, after)? {
                return Ok(joined);
            }
        }
    }

    /// Makes the user a member of a room that is there.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, `QUOTA_EXCEEDED`, `SERVER_FULL`.
    pub(super) fn join_existing(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
    ) -> Result<Membership> {
        self.find(name)?.join(user, after)?.ok_or_else(|| refusal::not_found(name))
    }

    /// Says something in a room that is there or else is made; gives the message's place.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `QUOTA_EXCEEDED`, `SERVER_FULL`.
    pub(super) fn say(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        saying: &Saying,
    ) -> Result<Position> {
        loop {
            if let Some(said) = self.find_or_make(user, name, false)?.say(user, saying)? {
                return Ok(said);
            }
        }
    }

    /// The next members of a room behind the user with this id, each with its id.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`.
    pub(super) fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        Ok(self.find(name)?.members(after, size))
    }

    /// The next rooms behind the one with this id, each with its id.
    pub(super) fn page(&self, after: u64, size: usize) -> Vec<(u64, RoomView)> {
        let rooms: Vec<_> = self.table.lock().behind(after, size);
        rooms.into_iter().map(|room| (room.id, room.view())).collect()
    }

    fn find(&self, name: &RoomName) -> Result<Arc<Room>> {
        self.table
            .lock()
            .by_name
            .get(name.folded())
            .cloned()
            .ok_or_else(|| refusal::not_found(name))
    }

    fn find_or_make(&self, user: &Arc<User>, name: &RoomName, joins: bool) -> Result<Arc<Room>> {
        let mut table = self.table.lock();
        if let Some(room) = table.by_name.get(name.folded()) {
            return Ok(Arc::clone(room));
        }
        let limits = &self.shared.limits;
        if table.by_id.len() as u64 >= u64::from(limits.rooms) {
            return Err(refusal::too_many_rooms(limits));
        }
        // Before the room is made: a join that fails leaves none behind.
        if joins && user.talk.joined.load(Ordering::Acquire) >= limits.rooms_per_user {
            return Err(refusal::too_many_joined(limits));
        }
        if !talk::count(&user.talk.made, limits.rooms_per_user) {
            return Err(refusal::too_many_made(limits));
        }
        table.last_id += 1;
        let room = Arc::new(Room::new(
            table.last_id,
            name.clone(),
            Arc::clone(user),
            Arc::clone(&self.shared),
        ));
        table.by_name.insert(name.folded().to_owned(), Arc::clone(&room));
        table.by_id.insert(room.id, Arc::clone(&room));
        self.shared.rooms.store(table.by_id.len() as u64, Ordering::Relaxed);
        Ok(room)
    }

    /// One short step: ends rooms that nobody used for long, forgets old ids, and makes all keep
    /// less if they keep too much.
    pub(super) fn sweep(&self) {
        let crowded = self.shared.crowded.swap(false, Ordering::AcqRel);
        let rooms = {
            let mut table = self.table.lock();
            let (after, size) =
                if crowded { (0, usize::MAX) } else { (table.swept, SWEPT_AT_ONCE) };
            let rooms = table.behind(after, size);
            table.swept = rooms.last().map_or(0, |room| room.id);
            rooms
        };
        for room in rooms {
            if room.tidy(crowded) {
                self.end(&room);
            }
        }
    }

    /// Ends a room, unless somebody has come back to it.
    fn end(&self, room: &Room) {
        let mut table = self.table.lock();
        if room.end_if_idle() {
            table.by_name.remove(room.name.folded());
            table.by_id.remove(&room.id);
            self.shared.rooms.store(table.by_id.len() as u64, Ordering::Relaxed);
        }
    }
}

impl Table {
    fn behind(&self, after: u64, size: usize) -> Vec<Arc<Room>> {
        let behind = self.by_id.range((Bound::Excluded(after), Bound::Unbounded));
        behind.take(size).map(|(_, room)| Arc::clone(room)).collect()
    }
}
