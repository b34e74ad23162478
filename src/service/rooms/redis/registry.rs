//! The list of rooms, and the limits on the rooms that a user joins and creates.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use super::{CONCURRENT_CALLS, RedisRooms};
use crate::model::{Error, Reason, Result, RoomName};
use crate::service::rooms::refusal;
use crate::service::user::User;
use crate::store::redis::rooms::{ListEntry, Reservation, RoomList, RoomRefusal};

/// Maximum number of attempts to reserve a room's name; each fails because another server is about
/// to create or end that room.
const MAX_ATTEMPTS: usize = 4;
/// Maximum time for which a name that leads to no room is left to the server that reserved it.
const MAX_RESERVATION: Duration = Duration::from_secs(10);

impl RedisRooms {
    /// Adds a room to the list of those that the user has joined, with the lease as its mark.
    /// Returns true if it was not in the list.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, `SESSION_EXPIRED`, `STORE_UNAVAILABLE`.
    pub(super) async fn list_joined(&self, user: u64, name: &RoomName, mark: u64) -> Result<bool> {
        let entry = ListEntry { user, mark };
        let listed = self.add_to_list(RoomList::Joined, name, entry, true).await?;
        listed.ok_or_else(|| refusal::too_many_joined(&self.limits))
    }

    /// Adds a room to a list. Returns true if it was not in the list, and `None` if the list is
    /// full of rooms that belong there.
    async fn add_to_list(
        &self,
        list: RoomList,
        name: &RoomName,
        entry: ListEntry,
        replace: bool,
    ) -> Result<Option<bool>> {
        let limit = self.limits.rooms_per_user;
        let mut pruned = false;
        loop {
            match self.engine.add_to_list(list, name.folded(), entry, limit, replace).await? {
                Ok(is_new) => return Ok(Some(is_new)),
                Err(RoomRefusal::ListFull(rooms)) => {
                    if pruned || !self.prune_list(list, entry.user, rooms).await? {
                        return Ok(None);
                    }
                    pruned = true;
                }
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
    }

    /// Removes rooms from a list that do not belong there any more. Returns true if there were any.
    async fn prune_list(
        &self,
        list: RoomList,
        user: u64,
        rooms: Vec<(String, u64)>,
    ) -> Result<bool> {
        let removed = iter(rooms).map(|(folded, mark)| async move {
            let keys = self.engine.room_keys(&folded);
            let belongs = match list {
                RoomList::Joined => self.engine.is_member(&keys, user).await?,
                RoomList::Created => self.engine.peek_room(&keys).await?.is_some(),
            };
            if !belongs {
                self.engine.remove_from_list(list, &folded, ListEntry { user, mark }).await?;
            }
            Ok::<_, Error>(!belongs)
        });
        let removed: Vec<Result<bool>> = removed.buffered(CONCURRENT_CALLS).collect().await;
        removed.into_iter().try_fold(false, |any, removed| Ok(any | removed?))
    }

    /// Reserves the name of a room that is about to be created.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, `SERVER_FULL`, `SESSION_EXPIRED`, `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub(super) async fn reserve(&self, user: &User, name: &RoomName) -> Result<()> {
        let (list, folded, recent) = (RoomList::Created, name.folded(), self.reservation_time());
        for _ in 0..MAX_ATTEMPTS {
            let entry = ListEntry { user: user.id, mark: rand::random() };
            let Some(is_new) = self.add_to_list(list, name, entry, false).await? else {
                return Err(refusal::too_many_created(&self.limits));
            };
            let reserved =
                self.engine.reserve_room(folded, entry, self.limits.rooms, recent).await?;
            if reserved == Ok(Reservation::New) {
                if !is_new {
                    // The mark in the list is that of an earlier room of this name.
                    let listed = self.engine.add_to_list(list, folded, entry, u32::MAX, true);
                    listed.await?.ok();
                }
                return Ok(());
            }
            if is_new {
                self.engine.remove_from_list(list, folded, entry).await?;
            }
            match reserved {
                Ok(Reservation::Old) => self.unregister(folded, recent).await?,
                Ok(Reservation::New | Reservation::Recent) => return Ok(()),
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
        Err(Error::new(
            Reason::StoreUnavailable,
            "the room is being made and ended at once; try again",
        ))
    }

    /// Returns the time for which a name that leads to no room is left to the
    /// server that reserved it. A room exists for its idle time at least: one that is reserved for
    /// longer and does not exist has ended.
    pub(super) fn reservation_time(&self) -> Duration {
        self.limits.room_idle.min(MAX_RESERVATION)
    }

    /// Takes a name that leads to no room off the list of rooms and off its creator's list, if it
    /// has been there for `age`.
    pub(super) async fn unregister(&self, folded: &str, age: Duration) -> Result<()> {
        match self.engine.unregister_room(folded, age).await? {
            Some(entry) => self.engine.remove_from_list(RoomList::Created, folded, entry).await,
            None => Ok(()),
        }
    }
}
