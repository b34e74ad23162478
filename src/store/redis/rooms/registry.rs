//! The list of all rooms, and each user's lists of the rooms that it has joined and created.

use std::time::Duration;

use redis::{Value, cmd};

use super::members::{count, ids};
use super::{ListEntry, RoomKeys, RoomResult, array, id, unrefused};
use crate::model::{Result, Room, whole_millis};
use crate::store::redis::RedisEngine;
use crate::store::redis::library::call;
use crate::store::redis::reply::{self, ReplyParts};
use crate::store::redis::router::Effect;
use crate::store::redis::topology::{slot_of, text};
use crate::store::redis::users::UserKeys;

/// Outcome of reserving a room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The name was not in the list of rooms and is there now.
    New,
    /// The name was put there a moment ago; the caller that did so creates the room.
    Recent,
    /// The name has been there for longer; its room may have ended.
    Old,
}

/// One of a user's lists of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomList {
    /// The rooms of which it is a member. The mark is its latest lease.
    Joined,
    /// The rooms that it created.
    Created,
}

impl RedisEngine {
    /// Reserves a room's name for its creator, if there are fewer than `limit` rooms. A name that
    /// was reserved less than `recent` ago is left to whoever reserved it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn reserve_room(
        &self,
        folded: &str,
        creator: ListEntry,
        limit: u32,
        recent: Duration,
    ) -> Result<RoomResult<Reservation>> {
        let (slot, keys) = self.rooms_keys();
        let mut reserve = call("reserve_room", &keys.each_ref().map(String::as_str));
        reserve.arg(self.0.now()).arg(folded).arg(creator.user.to_be_bytes().as_slice());
        reserve.arg(creator.mark.to_be_bytes().as_slice()).arg(limit).arg(whole_millis(recent));
        let decode = |mut parts: ReplyParts| match parts.text()?.as_str() {
            "new" => Ok(Reservation::New),
            "recent" => Ok(Reservation::Recent),
            "old" => Ok(Reservation::Old),
            _ => Err(reply::unexpected("a reservation")),
        };
        self.call_room(slot, &reserve, Effect::WritesOnce, decode).await
    }

    /// Takes a name off the list of rooms, if it has been there for `age`. Returns the entry of its
    /// creator's list that is to be removed too.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn unregister_room(&self, folded: &str, age: Duration) -> Result<Option<ListEntry>> {
        let (slot, keys) = self.rooms_keys();
        let mut unregister = call("unregister_room", &keys.each_ref().map(String::as_str));
        unregister.arg(self.0.now()).arg(folded).arg(whole_millis(age));
        let decode = |mut parts: ReplyParts| {
            let (user, mark) = (id(&mut parts).ok(), id(&mut parts).ok());
            Ok(user.zip(mark).map(|(user, mark)| ListEntry { user, mark }))
        };
        unrefused(self.call_room(slot, &unregister, Effect::WritesLocally, decode).await?)
    }

    /// Returns the next names after the room with this number, each with its number, in the order
    /// in which the rooms were created. Rooms that ended a moment ago may be among them.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn rooms_after(&self, after: u64, size: usize) -> Result<Vec<(u64, String)>> {
        let (slot, [_, order, _]) = self.rooms_keys();
        let mut command = cmd("ZRANGEBYSCORE");
        command.arg(order).arg(format!("({after}")).arg("+inf").arg("WITHSCORES");
        command.arg("LIMIT").arg(0).arg(size);
        let Value::Array(rows) = self.0.router.run(slot, &command, Effect::Reads).await? else {
            return Err(reply::unexpected("rooms"));
        };
        let wrong = || reply::unexpected("a room and its number");
        let mut rooms = Vec::with_capacity(rows.len());
        for row in rows {
            let Value::Array(row) = row else { return Err(wrong()) };
            let (Some(name), Some(Value::Double(number))) =
                (row.first().and_then(text), row.get(1))
            else {
                return Err(wrong());
            };
            // Counted from one, and far below the first integer that a double cannot represent.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            rooms.push((*number as u64, name));
        }
        Ok(rooms)
    }

    /// Returns a room's name and number of members, and the servers whose leases in it have lapsed;
    /// `None` if it does not exist.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn peek_room(&self, room: &RoomKeys) -> Result<Option<(Room, Vec<u64>)>> {
        let mut peek = call("peek_room", &room.all());
        peek.arg(self.0.now());
        let decode = |mut parts: ReplyParts| {
            let (name, member_count) = (parts.text()?, count(parts.number()?));
            Ok((Room { name, member_count }, ids(array(parts.next())?)))
        };
        Ok(self.call_room(room.slot, &peek, Effect::Reads, decode).await?.ok())
    }

    /// Adds a room to a user's list, if that has fewer than `limit` rooms. Returns true if the room
    /// was not in the list. `replace`: an entry that is there gets the new mark.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn add_to_list(
        &self,
        list: RoomList,
        folded: &str,
        entry: ListEntry,
        limit: u32,
        replace: bool,
    ) -> Result<RoomResult<bool>> {
        let keys = UserKeys::new(&self.0.namespace, entry.user);
        let mut add = call("add_to_list", &[list.key(&keys), &keys.user]);
        add.arg(folded).arg(entry.mark.to_be_bytes().as_slice()).arg(limit).arg(u8::from(replace));
        let decode = |mut parts: ReplyParts| Ok(parts.number()? == 1);
        self.call_room(keys.slot, &add, Effect::WritesLocally, decode).await
    }

    /// Removes a room from a user's list, if it has this mark there.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn remove_from_list(
        &self,
        list: RoomList,
        folded: &str,
        entry: ListEntry,
    ) -> Result<()> {
        let keys = UserKeys::new(&self.0.namespace, entry.user);
        let mut remove = call("remove_from_list", &[list.key(&keys)]);
        remove.arg(folded).arg(entry.mark.to_be_bytes().as_slice());
        self.0.router.run(keys.slot, &remove, Effect::WritesLocally).await.map(|_| ())
    }

    /// Returns the keys of the list of rooms: names, their order, the last number.
    fn rooms_keys(&self) -> (u16, [String; 3]) {
        let key = |name: &str| format!("{}:{{rooms}}:{name}", self.0.namespace);
        (slot_of("rooms"), [key("list"), key("order"), key("last")])
    }
}

impl RoomList {
    fn key(self, keys: &UserKeys) -> &str {
        match self {
            Self::Joined => &keys.joined,
            Self::Created => &keys.made,
        }
    }
}
