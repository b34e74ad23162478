//! Who is in a room.

use redis::{Cmd, Value, cmd};

use super::{Done, NewRoom, RoomKeys, RoomLimits, RoomUser, Seat, array, id, role_number, role_of};
use crate::model::{Error, Result, User};
use crate::store::redis::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply::{self, ReplyParts};
use crate::store::redis::router::Effect;

/// How many seats are given up, or taken away, in one step.
pub const SEATS_AT_ONCE: usize = 200;

/// How many members are named to who comes.
const NAMED: usize = 1_000;

/// A seat that was taken.
#[derive(Clone, Debug)]
pub struct Attended {
    /// The room's epoch.
    pub epoch: u64,
    /// Its latest event before the user came.
    pub before: u64,
    /// Its latest event: that the user came, if it was not there.
    pub sequence: u64,
    /// The event that those which are kept come behind.
    pub from: u64,
    /// The room's name, as it was first written.
    pub name: String,
    /// How many are in it.
    pub member_count: u32,
    /// The first of them.
    pub members: Vec<User>,
}

/// How a room stands, and a front end in it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The room's epoch.
    pub epoch: u64,
    /// Its latest event.
    pub sequence: u64,
    /// The event that those which are kept come behind.
    pub from: u64,
    /// How many seats of this front end it knows.
    pub seats: u64,
    /// Front ends that hold theirs no more.
    pub lapsed: Vec<u64>,
}

/// A user that left, and the latest seat that it had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacated {
    /// The user.
    pub user: u64,
    /// The seat's mark in the user's list of rooms.
    pub seat: u64,
}

impl RedisEngine {
    /// The user takes a seat; `make`: in a room that is made if it is not there.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn attend(
        &self,
        room: &RoomKeys,
        user: &RoomUser,
        seat: Seat,
        limits: &RoomLimits,
        make: Option<NewRoom<'_>>,
    ) -> Result<Done<Attended>> {
        let seats = room.seats(seat.front);
        let mut attend = call("attend", &room.and(&seats));
        attend
            .arg(self.0.now())
            .arg(user.id.to_be_bytes().as_slice())
            .arg(role_number(user.view.role));
        attend
            .arg(&user.view.name)
            .arg(seat.front.to_be_bytes().as_slice())
            .arg(seat.number.to_be_bytes().as_slice());
        attend
            .arg(limits.lease_millis())
            .arg(limits.idle_millis())
            .arg(limits.messages)
            .arg(limits.bytes);
        attend.arg(limits.members).arg(NAMED);
        if let Some(make) = make {
            attend.arg(make.epoch.to_le_bytes().as_slice()).arg(make.name);
        }
        let mut parts = match self.call_room(room.slot, &attend, Effect::WritesOnce).await? {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused)),
        };
        let (epoch, before, sequence, from) =
            (parts.epoch()?, parts.number()?, parts.number()?, parts.number()?);
        let (name, member_count) = (parts.text()?, count(parts.number()?));
        let mut records = array(parts.next())?;
        let mut members = Vec::new();
        while let Some(record) = records.next() {
            members.push(member(record)?);
        }
        Ok(Ok(Attended { epoch, before, sequence, from, name, member_count, members }))
    }

    /// Seats are given up, [`SEATS_AT_ONCE`] at most; gives who has left.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn depart(
        &self,
        room: &RoomKeys,
        front: u64,
        seats: &[u64],
        limits: &RoomLimits,
    ) -> Result<Vec<Vacated>> {
        let of_front = room.seats(front);
        let mut depart = call("depart", &room.and(&of_front));
        depart.arg(self.0.now()).arg(front.to_be_bytes().as_slice());
        depart.arg(limits.idle_millis()).arg(limits.messages).arg(limits.bytes);
        for seat in seats.iter().take(SEATS_AT_ONCE) {
            depart.arg(seat.to_be_bytes().as_slice());
        }
        match self.call_room(room.slot, &depart, Effect::WritesOnce).await? {
            Ok(parts) => vacated(parts),
            Err(_) => Err(reply::unexpected("who left")),
        }
    }

    /// Takes [`SEATS_AT_ONCE`] seats away from a front end that holds them no more; gives how many
    /// it has still, and who has left.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn evict(
        &self,
        room: &RoomKeys,
        front: u64,
        limits: &RoomLimits,
    ) -> Result<(u64, Vec<Vacated>)> {
        let of_front = room.seats(front);
        let mut evict = call("evict", &room.and(&of_front));
        evict.arg(self.0.now()).arg(front.to_be_bytes().as_slice());
        evict.arg(limits.idle_millis()).arg(limits.messages).arg(limits.bytes).arg(SEATS_AT_ONCE);
        match self.call_room(room.slot, &evict, Effect::WritesOnce).await? {
            Ok(mut parts) => Ok((parts.number()?, vacated(parts)?)),
            Err(_) => Err(reply::unexpected("who left")),
        }
    }

    /// A front end holds its seats on; gives how the room stands.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn hold_seats(
        &self,
        room: &RoomKeys,
        front: u64,
        limits: &RoomLimits,
    ) -> Result<Done<Held>> {
        let of_front = room.seats(front);
        let mut hold = call("hold_seats", &room.and(&of_front));
        hold.arg(self.0.now()).arg(front.to_be_bytes().as_slice()).arg(limits.lease_millis());
        let mut parts = match self.call_room(room.slot, &hold, Effect::WritesLocally).await? {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused)),
        };
        let (epoch, sequence, from, seats) =
            (parts.epoch()?, parts.number()?, parts.number()?, parts.number()?);
        let lapsed = ids(array(parts.next())?);
        Ok(Ok(Held { epoch, sequence, from, seats, lapsed }))
    }

    /// The seats of a front end that the room knows.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn seats(&self, room: &RoomKeys, front: u64) -> Result<Vec<u64>> {
        let answer = self
            .0
            .router
            .run(room.slot, cmd("HKEYS").arg(room.seats(front)), Effect::Reads)
            .await?;
        array(Some(answer)).map(ids)
    }

    /// The next members behind the user with this id, each with its id.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn room_members(
        &self,
        room: &RoomKeys,
        after: u64,
        size: usize,
    ) -> Result<Done<Vec<(u64, User)>>> {
        let mut members = call("members", &room.all());
        members.arg(after.to_be_bytes().as_slice()).arg(size.min(2_000));
        let mut parts = match self.call_room(room.slot, &members, Effect::Reads).await? {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(users) = parts.next() else { return Ok(Ok(Vec::new())) };
        let users = ids(array(Some(users))?);
        let mut records = array(parts.next())?;
        let mut found = Vec::with_capacity(users.len());
        for user in users {
            let record = records.next().ok_or_else(|| reply::unexpected("a member for each id"))?;
            found.push((user, member(record)?));
        }
        Ok(Ok(found))
    }

    /// Whether the user is in the room.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn is_member(&self, room: &RoomKeys, user: u64) -> Result<bool> {
        let mut there = Cmd::new();
        there.arg("HEXISTS").arg(&room.members).arg(user.to_be_bytes().as_slice());
        Ok(self.0.router.run(room.slot, &there, Effect::Reads).await? == Value::Int(1))
    }
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn ids(mut parts: ReplyParts) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Ok(next) = id(&mut parts) {
        ids.push(next);
    }
    ids
}

fn vacated(mut parts: ReplyParts) -> Result<Vec<Vacated>> {
    let mut left = Vec::new();
    while let Some(Value::BulkString(user)) = parts.next() {
        let user: [u8; 8] = user.try_into().map_err(|_| reply::unexpected("an id"))?;
        left.push(Vacated { user: u64::from_be_bytes(user), seat: id(&mut parts)? });
    }
    Ok(left)
}

/// A member's record: how many seats (8 bytes), the latest (8), role, name.
fn member(record: Value) -> Result<User> {
    let wrong = || reply::unexpected("a member");
    let Value::BulkString(record) = record else { return Err(wrong()) };
    let (role, name) = record.get(16..).and_then(<[u8]>::split_first).ok_or_else(wrong)?;
    let name = String::from_utf8(name.to_vec()).map_err(Error::internal)?;
    Ok(User { name, role: role_of(*role) })
}
