//! Rooms in the memory of this process.
//!
//! A room's members and its feed change under the room's lock, so that all members receive the same
//! events in the same order. Locks are taken in this order: the table of rooms, a room.

mod recent;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use self::room::ProcessRoom;
use super::history::HistoryBudget;
use super::membership::Joined;
use super::refusal;
use crate::model::Limits;
use crate::model::{
    ChatMessage, Error, Position, Result, Room as RoomView, RoomName, User as UserView,
};
use crate::service::user::User;
use crate::store::Clock;

/// Maximum number of rooms that one sweep visits.
const ROOMS_PER_SWEEP: usize = 512;

/// All rooms of the process.
pub(super) struct InProcessRooms {
    table: Mutex<RoomTable>,
    context: Arc<RoomContext>,
}

/// State common to all rooms.
struct RoomContext {
    limits: Limits,
    clock: Clock,
    budget: Arc<HistoryBudget>,
    /// Set when the histories exceed their limit, so that the next sweep trims all of them.
    trim_all: AtomicBool,
}

#[derive(Default)]
struct RoomTable {
    by_name: HashMap<String, Arc<ProcessRoom>>,
    by_id: BTreeMap<u64, Arc<ProcessRoom>>,
    last_id: u64,
    /// Id of the last room that a sweep visited.
    swept: u64,
}

/// Keeps a stream's user a member until it is dropped.
pub(super) struct ProcessLease {
    room: Arc<ProcessRoom>,
    user: Arc<User>,
}

impl ProcessLease {
    pub(super) fn publish(&self, message: &ChatMessage) -> Result<Position> {
        let published = self.room.publish(&self.user, message)?;
        // A room with a member does not end.
        published.ok_or_else(|| Error::internal("a room ended with a member in it"))
    }
}

impl Drop for ProcessLease {
    fn drop(&mut self) {
        self.room.leave(&self.user);
    }
}

impl InProcessRooms {
    pub(super) fn new(limits: Limits, clock: Clock, budget: Arc<HistoryBudget>) -> Self {
        let trim_all = AtomicBool::new(false);
        let context = Arc::new(RoomContext { limits, clock, budget, trim_all });
        Self { table: Mutex::default(), context }
    }

    pub(super) fn join(&self, user: &Arc<User>, name: &RoomName, create: bool) -> Result<Joined> {
        loop {
            let room =
                if create { self.find_or_create(user, name, true)? } else { self.find(name)? };
            // A room that ended meanwhile is no longer in the table.
            if let Some(joined) = room.join(user)? {
                return Ok(joined);
            }
        }
    }

    pub(super) fn publish(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        message: &ChatMessage,
    ) -> Result<Position> {
        loop {
            if let Some(position) =
                self.find_or_create(user, name, false)?.publish(user, message)?
            {
                return Ok(position);
            }
        }
    }

    pub(super) fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        Ok(self.find(name)?.members(after, size))
    }

    pub(super) fn page(&self, after: u64, size: usize) -> Vec<(u64, RoomView)> {
        let rooms = self.table.lock().after(after, size);
        rooms.into_iter().map(|room| (room.id, room.view())).collect()
    }

    fn find(&self, name: &RoomName) -> Result<Arc<ProcessRoom>> {
        let found = self.table.lock().by_name.get(name.folded()).cloned();
        found.ok_or_else(|| refusal::not_found(name))
    }

    fn find_or_create(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        joins: bool,
    ) -> Result<Arc<ProcessRoom>> {
        let mut table = self.table.lock();
        if let Some(room) = table.by_name.get(name.folded()) {
            return Ok(Arc::clone(room));
        }
        let limits = &self.context.limits;
        if table.by_id.len() as u64 >= u64::from(limits.rooms) {
            return Err(refusal::too_many_rooms(limits));
        }
        // Checked before the room is created: a join that is refused leaves no room behind.
        if joins && user.rooms.joined.is_full(limits.rooms_per_user) {
            return Err(refusal::too_many_joined(limits));
        }
        if !user.rooms.created.add(limits.rooms_per_user) {
            return Err(refusal::too_many_created(limits));
        }
        table.last_id += 1;
        let id = table.last_id;
        let room = Arc::new(ProcessRoom::new(id, name.clone(), Arc::clone(user), &self.context));
        table.by_name.insert(name.folded().to_owned(), Arc::clone(&room));
        table.by_id.insert(room.id, Arc::clone(&room));
        self.context.budget.set_rooms(table.by_id.len());
        Ok(room)
    }

    /// Ends some of the rooms that have been unused for long enough and forgets old message ids; if
    /// the histories exceed their limit, visits all rooms and trims them.
    pub(super) fn sweep(&self) {
        let trim = self.context.trim_all.swap(false, Ordering::AcqRel);
        let rooms = {
            let mut table = self.table.lock();
            let (after, size) = if trim { (0, usize::MAX) } else { (table.swept, ROOMS_PER_SWEEP) };
            let rooms = table.after(after, size);
            table.swept = rooms.last().map_or(0, |room| room.id);
            rooms
        };
        for room in rooms {
            if room.tidy(trim) {
                self.end(&room);
            }
        }
    }

    /// Ends a room, unless it has been used again.
    fn end(&self, room: &ProcessRoom) {
        let mut table = self.table.lock();
        if room.end_if_idle() {
            table.by_name.remove(room.name.folded());
            table.by_id.remove(&room.id);
            self.context.budget.set_rooms(table.by_id.len());
        }
    }
}

impl RoomTable {
    fn after(&self, after: u64, size: usize) -> Vec<Arc<ProcessRoom>> {
        let rooms = self.by_id.range((Bound::Excluded(after), Bound::Unbounded));
        rooms.take(size).map(|(_, room)| Arc::clone(room)).collect()
    }
}
