//! The chat's rooms: their members, events and history.
//!
//! All rooms have in common a `RoomFeed`, which the members at this server follow
//! from the history or from where they resume, and the `HistoryBudget` that bounds the memory of
//! all histories. The rest depends on where rooms are kept, and is a backend: joining, leaving,
//! publishing and listing. Rooms of a single server are kept in its memory (`in_process`); servers
//! that share a Redis engine have the same rooms (`redis`), and each follows those that its own
//! clients are members of.

mod feed;
mod history;
mod in_process;
mod membership;
mod redis;
mod refusal;
mod usage;

use std::sync::Arc;

pub use membership::{Membership, Publication, Welcome};
pub(super) use usage::RoomUsage;

use self::history::HistoryBudget;
use self::in_process::InProcessRooms;
use self::redis::RedisRooms;
use super::user::User;
use crate::model::Limits;
use crate::model::{ChatMessage, Position, Result, Room as RoomView, RoomName, User as UserView};
use crate::store::{Clock, Engine};

/// Maximum number of members that a join returns; the others are listed on request.
const MEMBERS_PER_JOIN: usize = 1_000;

/// All rooms.
pub(super) struct Rooms {
    budget: Arc<HistoryBudget>,
    backend: Backend,
}

/// The store of the rooms. Futures of the Redis backend are boxed, so that those of the other one
/// are small.
enum Backend {
    InProcess(InProcessRooms),
    Redis(Arc<RedisRooms>),
}

impl Rooms {
    pub(super) fn new(limits: Limits, clock: Clock, engine: &Engine) -> Self {
        let budget = Arc::new(HistoryBudget::new(limits.history_bytes));
        let backend = match engine {
            Engine::Memory(_) => {
                Backend::InProcess(InProcessRooms::new(limits, clock, Arc::clone(&budget)))
            }
            Engine::Redis(engine) => {
                Backend::Redis(RedisRooms::new(engine.clone(), limits, Arc::clone(&budget)))
            }
        };
        Self { budget, backend }
    }

    /// Returns the number of rooms; of rooms in Redis, those with a member at this server.
    pub(super) fn len(&self) -> u64 {
        self.budget.rooms()
    }

    /// Returns the memory that the histories take at this server, in bytes.
    pub(super) fn history_bytes(&self) -> u64 {
        self.budget.used()
    }

    /// Makes the user a member of a room for the life of the returned stream. `create`: the room is
    /// created if it does not exist. `after`: position to resume from.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, `QUOTA_EXCEEDED`, `SERVER_FULL`; in Redis also `STORE_UNAVAILABLE`,
    /// `OUTCOME_UNKNOWN`, `SESSION_EXPIRED`.
    pub(super) async fn join(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
        create: bool,
    ) -> Result<Membership> {
        let joined = match &self.backend {
            Backend::InProcess(rooms) => rooms.join(user, name, create)?,
            Backend::Redis(rooms) => Box::pin(rooms.join(user, name, create)).await?,
        };
        Ok(Membership::new(joined, after))
    }

    /// Publishes a message in a room, which is created if it does not exist, and returns its
    /// position.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `QUOTA_EXCEEDED`, `SERVER_FULL`; in Redis also `STORE_UNAVAILABLE`,
    /// `OUTCOME_UNKNOWN`, `SESSION_EXPIRED`.
    pub(super) async fn publish(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        message: &ChatMessage,
    ) -> Result<Position> {
        match &self.backend {
            Backend::InProcess(rooms) => rooms.publish(user, name, message),
            Backend::Redis(rooms) => Box::pin(rooms.publish(user, name, message)).await,
        }
    }

    /// Returns the next members of a room after the user with this id, each with its id.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`; in Redis also `STORE_UNAVAILABLE`.
    pub(super) async fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        match &self.backend {
            Backend::InProcess(rooms) => rooms.members(name, after, size),
            Backend::Redis(rooms) => Box::pin(rooms.members(name, after, size)).await,
        }
    }

    /// Returns the next rooms after the one with this number, each with its number.
    ///
    /// # Errors
    /// In Redis `STORE_UNAVAILABLE`.
    pub(super) async fn page(&self, after: u64, size: usize) -> Result<Vec<(u64, RoomView)>> {
        match &self.backend {
            Backend::InProcess(rooms) => Ok(rooms.page(after, size)),
            Backend::Redis(rooms) => Box::pin(rooms.page(after, size)).await,
        }
    }

    /// Does a short step of the periodic work: ends unused rooms, and trims histories.
    pub(super) fn sweep(&self) {
        match &self.backend {
            Backend::InProcess(rooms) => rooms.sweep(),
            Backend::Redis(rooms) => rooms.sweep(),
        }
    }
}
