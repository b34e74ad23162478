//! Which rooms there are, in which of them a user is, and which it made.

use std::time::Duration;

use redis::{Value, cmd};

use super::members::ids;
use super::{Done, RoomKeys, array, id};
use crate::model::{Result, Room, whole_millis};
use crate::store::redis::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply;
use crate::store::redis::router::Effect;
use crate::store::redis::topology::{slot_of, text};
use crate::store::redis::users::UserKeys;

/// What became of a claim to a room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The name is on the list of rooms from now on.
    New,
    /// It was put there a moment ago: somebody is about to make the room, or has.
    Known,
    /// It has long been there, and may be that of a room that is no more.
    Old,
}

/// A room that was taken off the list: who made it, and the mark of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// The maker.
    pub maker: u64,
    /// The mark in its list.
    pub mark: u64,
}

/// One of a user's lists of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomList {
    /// Those in which it is. The mark is its latest seat.
    Joined,
    /// Those that it made.
    Made,
}

impl RedisEngine {
    /// Claims a room's name for its maker, if there are fewer rooms than so many. An earlier claim
    /// is left to its maker for so long.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn claim_room(
        &self,
        folded: &str,
        maker: Struck,
        most: u32,
        is_new: Duration,
    ) -> Result<Done<Claim>> {
        let (slot, keys) = self.rooms_keys();
        let mut claim = call("claim_room", &keys.each_ref().map(String::as_str));
        claim.arg(self.0.now()).arg(folded).arg(maker.maker.to_be_bytes().as_slice());
        claim.arg(maker.mark.to_be_bytes().as_slice()).arg(most).arg(whole_millis(is_new));
        let mut parts = match self.call_room(slot, &claim, Effect::WritesOnce).await? {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused)),
        };
        match parts.text()?.as_str() {
            "new" => Ok(Ok(Claim::New)),
            "known" => Ok(Ok(Claim::Known)),
            "old" => Ok(Ok(Claim::Old)),
            _ => Err(reply::unexpected("a claim")),
        }
    }

    /// Takes a name off the list of rooms, if it has been there for so long.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn strike_room(&self, folded: &str, age: Duration) -> Result<Option<Struck>> {
        let (slot, keys) = self.rooms_keys();
        let mut strike = call("strike_room", &keys.each_ref().map(String::as_str));
        strike.arg(self.0.now()).arg(folded).arg(whole_millis(age));
        match self.call_room(slot, &strike, Effect::WritesLocally).await? {
            Ok(mut parts) => Ok(match (id(&mut parts), id(&mut parts)) {
                (Ok(maker), Ok(mark)) => Some(Struck { maker, mark }),
                _ => None,
            }),
            Err(_) => Err(reply::unexpected("a maker")),
        }
    }

    /// The next names behind the room with this number, each with its number, in the order in which
    /// the rooms were made; some may be no more.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn rooms_behind(&self, after: u64, size: usize) -> Result<Vec<(u64, String)>> {
        let (slot, [_, order, _]) = self.rooms_keys();
        let mut command = cmd("ZRANGEBYSCORE");
        command
            .arg(order)
            .arg(format!("({after}"))
            .arg("+inf")
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(0)
            .arg(size);
        let Value::Array(rows) = self.0.router.run(slot, &command, Effect::Reads).await? else {
            return Err(reply::unexpected("rooms"));
        };
        let mut rooms = Vec::with_capacity(rows.len());
        for row in rows {
            let Value::Array(row) = row else {
                return Err(reply::unexpected("a room and its number"));
            };
            let (Some(name), Some(Value::Double(number))) =
                (row.first().and_then(text), row.get(1))
            else {
                return Err(reply::unexpected("a room and its number"));
            };
            // Counted from one, and far from where a double leaves one out.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            rooms.push((*number as u64, name));
        }
        Ok(rooms)
    }

    /// How a room looks from outside, and which front ends hold their seats in it no more. `None`:
    /// it is not there.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn glance(&self, room: &RoomKeys) -> Result<Option<(Room, Vec<u64>)>> {
        let mut glance = call("glance", &room.all());
        glance.arg(self.0.now());
        match self.call_room(room.slot, &glance, Effect::Reads).await? {
            Ok(mut parts) => {
                let name = parts.text()?;
                let member_count = u32::try_from(parts.number()?).unwrap_or(u32::MAX);
                Ok(Some((Room { name, member_count }, ids(array(parts.next())?))))
            }
            Err(_) => Ok(None),
        }
    }

    /// Puts a room on a user's list, if that has fewer than so many; true if it was not there.
    /// `replace`: with this mark in any case.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn enlist(
        &self,
        user: u64,
        list: RoomList,
        folded: &str,
        mark: u64,
        most: u32,
        replace: bool,
    ) -> Result<Done<bool>> {
        let keys = UserKeys::new(&self.0.namespace, user);
        let mut enlist = call("enlist", &[list.key(&keys), &keys.user]);
        enlist.arg(folded).arg(mark.to_be_bytes().as_slice()).arg(most).arg(u8::from(replace));
        match self.call_room(keys.slot, &enlist, Effect::WritesLocally).await? {
            Ok(mut parts) => Ok(Ok(parts.number()? == 1)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Takes a room off a user's list, if it has this mark there.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn delist(&self, user: u64, list: RoomList, folded: &str, mark: u64) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, user);
        let mut delist = call("delist", &[list.key(&keys)]);
        delist.arg(folded).arg(mark.to_be_bytes().as_slice());
        self.0.router.run(keys.slot, &delist, Effect::WritesLocally).await.map(|_| ())
    }

    /// List, order, last number.
    fn rooms_keys(&self) -> (u16, [String; 3]) {
        let key = |name: &str| format!("{}:{{rooms}}:{name}", self.0.namespace);
        (slot_of("rooms"), [key("list"), key("order"), key("last")])
    }
}

impl RoomList {
    fn key(self, keys: &UserKeys) -> &str {
        match self {
            Self::Joined => &keys.joined,
            Self::Made => &keys.made,
        }
    }
}
