//! The rooms: who is in them, what happens there, and what of it is kept.
//!
//! Rooms of one server are in its memory (`memory`); those of servers that share an engine are in
//! the engine (`shared`), and each server follows the ones that its own clients are in. Either way
//! a member's stream is a follower of one [`Feed`](crate::store::feed::Feed) a room.

mod event;
mod membership;
mod memory;
mod refusal;
mod shared;
mod talk;

use std::sync::Arc;

pub use event::{RoomEvent, Someone};
pub use membership::{Membership, Said, Welcome};
pub(super) use talk::Talk;

use super::limits::Limits;
use super::user::User;
use crate::model::{Position, Result, Room as RoomView, RoomName, Saying, User as UserView};
use crate::store::{Clock, Engine};

/// All rooms.
pub(super) enum Rooms {
    /// This server's own.
    Own(memory::Rooms),
    /// Those of all servers on the engine.
    Shared(Arc<shared::Rooms>),
}

impl Rooms {
    pub(super) fn new(limits: Limits, clock: Clock, engine: &Engine) -> Self {
        match engine {
            Engine::Memory(_) => Self::Own(memory::Rooms::new(limits, clock)),
            Engine::Redis(engine) => Self::Shared(shared::Rooms::new(engine.clone(), limits)),
        }
    }

    /// How many there are; of shared ones, in how many somebody here is.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Own(rooms) => rooms.len(),
            Self::Shared(rooms) => rooms.len(),
        }
    }

    /// How many bytes of them are kept here.
    pub(super) fn kept_bytes(&self) -> u64 {
        match self {
            Self::Own(rooms) => rooms.kept_bytes(),
            Self::Shared(rooms) => rooms.kept_bytes(),
        }
    }

    /// Makes the user a member, of a room that is there or else is made.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, `SERVER_FULL`; of a shared one those of the engine.
    pub(super) async fn join(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
    ) -> Result<Membership> {
        match self {
            Self::Own(rooms) => rooms.join(user, name, after),
            Self::Shared(rooms) => Box::pin(rooms.join(user, name, after, true)).await,
        }
    }

    /// Makes the user a member of a room that is there.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, and as [`join`](Self::join).
    pub(super) async fn join_existing(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        after: Option<Position>,
    ) -> Result<Membership> {
        match self {
            Self::Own(rooms) => rooms.join_existing(user, name, after),
            Self::Shared(rooms) => Box::pin(rooms.join(user, name, after, false)).await,
        }
    }

    /// Says something in a room that is there or else is made; gives the message's place.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `QUOTA_EXCEEDED`, `SERVER_FULL`; of a shared one those of the engine.
    pub(super) async fn say(
        &self,
        user: &Arc<User>,
        name: &RoomName,
        saying: &Saying,
    ) -> Result<Position> {
        match self {
            Self::Own(rooms) => rooms.say(user, name, saying),
            Self::Shared(rooms) => Box::pin(rooms.say(user, name, saying)).await,
        }
    }

    /// The next members of a room behind the user with this id, each with its id.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`; of a shared one those of the engine.
    pub(super) async fn members(
        &self,
        name: &RoomName,
        after: u64,
        size: usize,
    ) -> Result<Vec<(u64, UserView)>> {
        match self {
            Self::Own(rooms) => rooms.members(name, after, size),
            Self::Shared(rooms) => Box::pin(rooms.members(name, after, size)).await,
        }
    }

    /// The next rooms behind the one with this id, each with its id.
    ///
    /// # Errors
    /// Of shared ones those of the engine.
    pub(super) async fn page(&self, after: u64, size: usize) -> Result<Vec<(u64, RoomView)>> {
        match self {
            Self::Own(rooms) => Ok(rooms.page(after, size)),
            Self::Shared(rooms) => Box::pin(rooms.page(after, size)).await,
        }
    }

    /// One short step of what is to be done from time to time.
    pub(super) fn sweep(&self) {
        match self {
            Self::Own(rooms) => rooms.sweep(),
            Self::Shared(rooms) => rooms.sweep(),
        }
    }
}
