//! A room's members, and the leases by which servers keep them there.

use redis::{Cmd, Value, cmd};

use super::{
    ListEntry, NewRoom, RoomKeys, RoomLimits, RoomResult, append_user, array, id, role_of,
    unrefused,
};
use crate::model::{Error, Participant, Result, User};
use crate::store::redis::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply::{self, ReplyParts};
use crate::store::redis::router::Effect;

/// Maximum number of leases that one call ends.
pub const LEASES_PER_CALL: usize = 200;

/// Maximum number of members that a join returns.
const MEMBERS_PER_JOIN: usize = 1_000;

/// A room at the time of a join.
#[derive(Clone, Debug)]
pub struct JoinedRoom {
    /// The room's epoch.
    pub epoch: u64,
    /// Sequence of the latest event before the join.
    pub before: u64,
    /// Sequence of the latest event: that of the join itself, if the user became a member by it.
    pub latest: u64,
    /// Sequence after which the history begins.
    pub history_start: u64,
    /// The room's name, as its creator wrote it.
    pub name: String,
    /// Number of members.
    pub member_count: u32,
    /// The first 1,000 members.
    pub members: Vec<User>,
}

/// A room at the time of a renewal of a server's leases.
#[derive(Clone, Debug)]
pub struct LeaseRenewal {
    /// The room's epoch.
    pub epoch: u64,
    /// Sequence of the latest event.
    pub latest: u64,
    /// Sequence after which the history begins.
    pub history_start: u64,
    /// Number of leases of this server in the room.
    pub leases: u64,
    /// Servers whose leases have lapsed.
    pub lapsed: Vec<u64>,
}

impl JoinedRoom {
    fn decode(mut parts: ReplyParts) -> Result<Self> {
        let (epoch, before, latest, history_start) =
            (parts.epoch()?, parts.number()?, parts.number()?, parts.number()?);
        let (name, member_count) = (parts.text()?, count(parts.number()?));
        let mut records = array(parts.next())?;
        let members = std::iter::from_fn(|| records.next().map(member)).collect::<Result<_>>()?;
        Ok(Self { epoch, before, latest, history_start, name, member_count, members })
    }
}

impl LeaseRenewal {
    fn decode(mut parts: ReplyParts) -> Result<Self> {
        let (epoch, latest, history_start, leases) =
            (parts.epoch()?, parts.number()?, parts.number()?, parts.number()?);
        let lapsed = ids(array(parts.next())?);
        Ok(Self { epoch, latest, history_start, leases, lapsed })
    }
}

impl RedisEngine {
    /// Adds a lease of a server for a stream of a user, who becomes a member by its first lease.
    /// The server never uses the lease's number again. `new`: the room is created if it does not
    /// exist.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn join_room(
        &self,
        room: &RoomKeys,
        user: &Participant,
        server: u64,
        lease: u64,
        limits: &RoomLimits,
        new: Option<NewRoom<'_>>,
    ) -> Result<RoomResult<JoinedRoom>> {
        let mut join = self.lease_call("join_room", room, server);
        limits.append_to(&mut join);
        join.arg(lease.to_be_bytes().as_slice()).arg(limits.lease_millis());
        join.arg(limits.members).arg(MEMBERS_PER_JOIN);
        append_user(&mut join, user);
        if let Some(new) = new {
            join.arg(new.epoch.to_le_bytes().as_slice()).arg(new.name);
        }
        self.call_room(room.slot, &join, Effect::WritesOnce, JoinedRoom::decode).await
    }

    /// Ends leases of a server, at most [`LEASES_PER_CALL`]. Returns the users that are no longer
    /// members, each with its last lease as the mark.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn leave_room(
        &self,
        room: &RoomKeys,
        server: u64,
        leases: &[u64],
        limits: &RoomLimits,
    ) -> Result<Vec<ListEntry>> {
        let mut leave = self.lease_call("leave_room", room, server);
        limits.append_to(&mut leave);
        for lease in leases.iter().take(LEASES_PER_CALL) {
            leave.arg(lease.to_be_bytes().as_slice());
        }
        unrefused(self.call_room(room.slot, &leave, Effect::WritesOnce, left).await?)
    }

    /// Ends [`LEASES_PER_CALL`] leases of a server whose leases have lapsed. Returns the number
    /// that it still has, and the users that are no longer members, as
    /// [`leave_room`](Self::leave_room).
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn expire_leases(
        &self,
        room: &RoomKeys,
        server: u64,
        limits: &RoomLimits,
    ) -> Result<(u64, Vec<ListEntry>)> {
        let mut expire = self.lease_call("expire_leases", room, server);
        limits.append_to(&mut expire);
        expire.arg(LEASES_PER_CALL);
        let decode = |mut parts: ReplyParts| Ok((parts.number()?, left(parts)?));
        unrefused(self.call_room(room.slot, &expire, Effect::WritesOnce, decode).await?)
    }

    /// Renews a server's leases in a room and returns the room's state.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn renew_leases(
        &self,
        room: &RoomKeys,
        server: u64,
        limits: &RoomLimits,
    ) -> Result<RoomResult<LeaseRenewal>> {
        let mut renew = self.lease_call("renew_leases", room, server);
        renew.arg(limits.lease_millis());
        self.call_room(room.slot, &renew, Effect::WritesLocally, LeaseRenewal::decode).await
    }

    /// Begins a call of a function that concerns a server's leases in a room.
    fn lease_call(&self, function: &str, room: &RoomKeys, server: u64) -> Cmd {
        let mut command = call(function, &room.with(&room.leases(server)));
        command.arg(self.0.now()).arg(server.to_be_bytes().as_slice());
        command
    }

    /// Returns the numbers of a server's leases in a room.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn leases(&self, room: &RoomKeys, server: u64) -> Result<Vec<u64>> {
        let key = room.leases(server);
        let answer = self.0.router.run(room.slot, cmd("HKEYS").arg(key), Effect::Reads).await?;
        array(Some(answer)).map(ids)
    }

    /// Returns the next members after the user with this id, each with its id.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn room_members(
        &self,
        room: &RoomKeys,
        after: u64,
        size: usize,
    ) -> Result<RoomResult<Vec<(u64, User)>>> {
        let mut members = call("room_members", &room.all());
        members.arg(after.to_be_bytes().as_slice()).arg(size.min(2_000));
        self.call_room(room.slot, &members, Effect::Reads, members_of).await
    }

    /// Returns true if the user is a member of the room.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn is_member(&self, room: &RoomKeys, user: u64) -> Result<bool> {
        let mut exists = Cmd::new();
        exists.arg("HEXISTS").arg(&room.members).arg(user.to_be_bytes().as_slice());
        Ok(self.0.router.run(room.slot, &exists, Effect::Reads).await? == Value::Int(1))
    }
}

pub(super) fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn ids(mut parts: ReplyParts) -> Vec<u64> {
    std::iter::from_fn(|| id(&mut parts).ok()).collect()
}

/// Decodes members and their records: two lists of one length, or nothing if there are none.
fn members_of(mut parts: ReplyParts) -> Result<Vec<(u64, User)>> {
    let Some(users) = parts.next() else { return Ok(Vec::new()) };
    let users = ids(array(Some(users))?);
    let mut records = array(parts.next())?;
    let user = |id| Ok((id, member(records.next().ok_or_else(|| reply::unexpected("a member"))?)?));
    users.into_iter().map(user).collect()
}

fn left(mut parts: ReplyParts) -> Result<Vec<ListEntry>> {
    let mut left = Vec::new();
    while let Some(Value::BulkString(user)) = parts.next() {
        let user: [u8; 8] = user.try_into().map_err(|_| reply::unexpected("an id"))?;
        left.push(ListEntry { user: u64::from_be_bytes(user), mark: id(&mut parts)? });
    }
    Ok(left)
}

/// Decodes a member's record: number of leases (8 bytes), latest lease (8), role, name.
fn member(record: Value) -> Result<User> {
    let wrong = || reply::unexpected("a member");
    let Value::BulkString(record) = record else { return Err(wrong()) };
    let (role, name) = record.get(16..).and_then(<[u8]>::split_first).ok_or_else(wrong)?;
    let name = String::from_utf8(name.to_vec()).map_err(Error::internal)?;
    Ok(User { name, role: role_of(*role) })
}
