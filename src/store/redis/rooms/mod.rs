//! The chat's rooms, as all servers on one engine know them.
//!
//! All keys of a room carry its name as their hash tag, so that each operation on one is one
//! command to one node. Who calls makes of it what the contract says: here is what the functions
//! (`lua/rooms.lua`) do, each of them once however often it is sent.

mod events;
mod members;
mod registry;

use std::time::Duration;

pub(super) use events::Ears;
pub use events::{Happened, Happening, Listening, RoomRead};
pub use members::{Attended, Held, SEATS_AT_ONCE, Vacated};
pub use registry::{Claim, RoomList, Struck};

use redis::{Cmd, Value};

use super::RedisEngine;
use super::reply::{self, ReplyParts};
use super::router::Effect;
use super::topology::slot_of;
use super::users::hex;
use crate::model::{Error, Result, Role, User, whole_millis};

/// Where a room is.
#[derive(Clone, Debug)]
pub struct RoomKeys {
    slot: u16,
    /// What all its keys begin with.
    prefix: String,
    room: String,
    events: String,
    members: String,
    order: String,
    fronts: String,
}

impl RoomKeys {
    /// Record, events, members, their order, front ends.
    fn all(&self) -> [&str; 5] {
        [&self.room, &self.events, &self.members, &self.order, &self.fronts]
    }

    /// The same, and one more.
    fn and<'a>(&'a self, more: &'a str) -> [&'a str; 6] {
        [&self.room, &self.events, &self.members, &self.order, &self.fronts, more]
    }

    fn seats(&self, front: u64) -> String {
        format!("{}:seats:{front:016x}", self.prefix)
    }

    fn said(&self, user: u64) -> String {
        format!("{}:said:{user:016x}", self.prefix)
    }
}

/// What a room may hold.
#[derive(Clone, Copy, Debug)]
pub struct RoomLimits {
    /// How long it lives without members.
    pub idle: Duration,
    /// How long a front end that has gone keeps its seats.
    pub lease: Duration,
    /// How many messages it keeps.
    pub messages: u32,
    /// How many bytes of events it keeps.
    pub bytes: u64,
    /// The most members.
    pub members: u32,
}

impl RoomLimits {
    fn idle_millis(&self) -> u64 {
        millis(self.idle)
    }

    fn lease_millis(&self) -> u64 {
        millis(self.lease)
    }
}

fn millis(length: Duration) -> u64 {
    // The functions count in doubles.
    whole_millis(length).clamp(1, 1 << 50)
}

/// A user, as the room is told of it.
#[derive(Clone, Debug)]
pub struct RoomUser {
    /// Its id.
    pub id: u64,
    /// Its name and role.
    pub view: User,
}

/// A member's place for one stream, at one front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The front end: a number that no other has.
    pub front: u64,
    /// One of its own.
    pub number: u64,
}

/// What a room that is not there is made with.
#[derive(Clone, Copy, Debug)]
pub struct NewRoom<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// Its name, as it was written.
    pub name: &'a str,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such room.
    NoRoom,
    /// The room has as many members as it may.
    Members,
    /// There are as many rooms as there may be.
    Rooms,
    /// The message's id was used for another text.
    Reused,
    /// The user is gone.
    NoUser,
    /// The user's list is full: with these rooms, by their folded names, and their marks.
    List(Vec<(String, u64)>),
}

/// What was done, or why not.
pub type Done<T> = std::result::Result<T, Refusal>;

impl RedisEngine {
    /// Where the room of this folded name is.
    pub fn room_keys(&self, folded: &str) -> RoomKeys {
        let tag = format!("r:{}", hex(folded.as_bytes()));
        let prefix = format!("{}:{{{tag}}}", self.0.namespace);
        let key = |name: &str| format!("{prefix}:{name}");
        RoomKeys {
            slot: slot_of(&tag),
            room: key("room"),
            events: key("events"),
            members: key("members"),
            order: key("order"),
            fronts: key("fronts"),
            prefix,
        }
    }

    async fn call_room(
        &self,
        slot: u16,
        command: &Cmd,
        effect: Effect,
    ) -> Result<Done<ReplyParts>> {
        match reply::outcome(self.0.router.run(slot, command, effect).await?)? {
            Ok(parts) => Ok(Ok(parts)),
            Err(refused) => refusal(refused).map(Err),
        }
    }
}

fn refusal(parts: Vec<Value>) -> Result<Refusal> {
    let mut parts = ReplyParts::new(parts);
    Ok(match parts.text()?.as_str() {
        "room" => Refusal::NoRoom,
        "members" => Refusal::Members,
        "rooms" => Refusal::Rooms,
        "reused" => Refusal::Reused,
        "gone" => Refusal::NoUser,
        "list" => {
            let mut fields = array(parts.next())?;
            let mut list = Vec::new();
            while let (Ok(name), Ok(mark)) = (fields.text(), id(&mut fields)) {
                list.push((name, mark));
            }
            Refusal::List(list)
        }
        other => return Err(Error::internal(format!("a function refused with {other}"))),
    })
}

fn array(answer: Option<Value>) -> Result<ReplyParts> {
    match answer {
        Some(Value::Array(parts)) => Ok(ReplyParts::new(parts)),
        _ => Err(reply::unexpected("a list")),
    }
}

/// A number as the functions keep it: eight bytes, the first the highest.
fn id(parts: &mut ReplyParts) -> Result<u64> {
    let bytes: [u8; 8] = parts.bytes()?.try_into().map_err(|_| reply::unexpected("an id"))?;
    Ok(u64::from_be_bytes(bytes))
}

const fn role_number(role: Role) -> u8 {
    match role {
        Role::Guest => 0,
        Role::Manager => 1,
    }
}

const fn role_of(number: u8) -> Role {
    if number == 0 { Role::Guest } else { Role::Manager }
}
