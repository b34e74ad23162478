//! The chat's rooms as records in Redis, shared by all servers on one engine.
//!
//! All keys of a room have its name as their hash tag, so that each operation on a room is one
//! command to one node. This module calls the functions of `lua/rooms.lua` and decodes their
//! replies; the rules of the contract are in `service::rooms`. A call that is sent again, because
//! its reply was lost, has no second effect.

mod events;
mod listeners;
mod members;
mod registry;

use std::time::Duration;

pub use events::RoomRead;
pub use listeners::RoomListener;
pub(super) use listeners::RoomListeners;
pub use members::{JoinedRoom, LEASES_PER_CALL, LeaseRenewal};
pub use registry::{Reservation, RoomList};

use redis::{Cmd, Value};

use super::RedisEngine;
use super::reply::{self, ReplyParts};
use super::router::Effect;
use super::topology::slot_of;
use super::users::hex;
use crate::model::{Error, Participant, Result, Role};

/// The keys of a room.
#[derive(Clone, Debug)]
pub struct RoomKeys {
    slot: u16,
    /// Common prefix of all the keys.
    prefix: String,
    record: String,
    events: String,
    members: String,
    order: String,
    servers: String,
}

impl RoomKeys {
    fn all(&self) -> [&str; 5] {
        [&self.record, &self.events, &self.members, &self.order, &self.servers]
    }

    /// Returns all keys of the room, then one more.
    fn with<'a>(&'a self, more: &'a str) -> [&'a str; 6] {
        [&self.record, &self.events, &self.members, &self.order, &self.servers, more]
    }

    /// Returns the key of a server's membership leases.
    fn leases(&self, server: u64) -> String {
        format!("{}:seats:{server:016x}", self.prefix)
    }

    /// Returns the key of a user's recent message ids.
    fn message_ids(&self, user: u64) -> String {
        format!("{}:said:{user:016x}", self.prefix)
    }
}

/// Limits that the functions enforce in a room.
#[derive(Clone, Copy, Debug)]
pub struct RoomLimits {
    /// Time that a room without members is kept after its last use.
    pub idle: Duration,
    /// Time that a server's membership leases last without renewal.
    pub lease: Duration,
    /// Maximum number of messages in the history.
    pub messages: u32,
    /// Maximum size of the history, in bytes.
    pub bytes: u64,
    /// Maximum number of members.
    pub members: u32,
}

impl RoomLimits {
    fn idle_millis(&self) -> u64 {
        millis(self.idle)
    }

    fn lease_millis(&self) -> u64 {
        millis(self.lease)
    }

    /// Appends what each function takes that adds an event: idle time, messages, bytes.
    fn append_to(&self, command: &mut Cmd) {
        command.arg(self.idle_millis()).arg(self.messages).arg(self.bytes);
    }
}

/// Converts to milliseconds, within the integers that a Lua number represents exactly.
fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}

/// Attributes of a room that is created if it does not exist.
#[derive(Clone, Copy, Debug)]
pub struct NewRoom<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// Its name, as its creator wrote it.
    pub name: &'a str,
}

/// An entry in a user's list of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The user whose list it is.
    pub user: u64,
    /// Mark of the entry: it is removed only by a caller that knows its current mark.
    pub mark: u64,
}

/// Reason why a function did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomRefusal {
    /// The room does not exist.
    NoRoom,
    /// The room has the maximum number of members.
    RoomFull,
    /// There is the maximum number of rooms.
    TooManyRooms,
    /// The message's id belongs to another text.
    MessageIdReused,
    /// The user no longer exists.
    NoUser,
    /// The user's list is full. Contains the folded names of its rooms and their marks.
    ListFull(Vec<(String, u64)>),
}

/// Result of a function that may refuse.
pub type RoomResult<T> = std::result::Result<T, RoomRefusal>;

impl RedisEngine {
    /// Returns the keys of the room with this folded name.
    pub fn room_keys(&self, folded: &str) -> RoomKeys {
        let tag = format!("r:{}", hex(folded.as_bytes()));
        let prefix = format!("{}:{{{tag}}}", self.0.namespace);
        let key = |name: &str| format!("{prefix}:{name}");
        RoomKeys {
            slot: slot_of(&tag),
            record: key("room"),
            events: key("events"),
            members: key("members"),
            order: key("order"),
            servers: key("fronts"),
            prefix,
        }
    }

    /// Calls a function and decodes the parts of its reply.
    async fn call_room<T>(
        &self,
        slot: u16,
        command: &Cmd,
        effect: Effect,
        decode: impl FnOnce(ReplyParts) -> Result<T>,
    ) -> Result<RoomResult<T>> {
        match reply::outcome(self.0.router.run(slot, command, effect).await?)? {
            Ok(parts) => decode(parts).map(Ok),
            Err(refused) => refusal(refused).map(Err),
        }
    }
}

/// Takes the result of a function that does not refuse.
fn unrefused<T>(result: RoomResult<T>) -> Result<T> {
    result.map_err(|refusal| Error::internal(format!("a function refused with {refusal:?}")))
}

fn refusal(parts: Vec<Value>) -> Result<RoomRefusal> {
    let mut parts = ReplyParts::new(parts);
    Ok(match parts.text()?.as_str() {
        "room" => RoomRefusal::NoRoom,
        "members" => RoomRefusal::RoomFull,
        "rooms" => RoomRefusal::TooManyRooms,
        "reused" => RoomRefusal::MessageIdReused,
        "gone" => RoomRefusal::NoUser,
        "list" => {
            let mut fields = array(parts.next())?;
            let mut list = Vec::new();
            while let (Ok(name), Ok(mark)) = (fields.text(), id(&mut fields)) {
                list.push((name, mark));
            }
            RoomRefusal::ListFull(list)
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

/// Reads a number as the functions keep it: eight bytes, big-endian.
fn id(parts: &mut ReplyParts) -> Result<u64> {
    let bytes: [u8; 8] = parts.bytes()?.try_into().map_err(|_| reply::unexpected("an id"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Appends a user as the functions take it: id, role, name.
fn append_user(command: &mut Cmd, user: &Participant) {
    let role: u8 = match user.user.role {
        Role::Guest => 0,
        Role::Manager => 1,
    };
    command.arg(user.id.to_be_bytes().as_slice()).arg(role).arg(&user.user.name);
}

const fn role_of(number: u8) -> Role {
    if number == 0 { Role::Guest } else { Role::Manager }
}
