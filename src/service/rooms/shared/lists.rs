//! Which rooms there are, and how many of them a user may be in and make.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use super::{AT_ONCE, Rooms};
use crate::model::{Error, Reason, Result, RoomName};
use crate::service::rooms::refusal;
use crate::service::user::User;
use crate::store::redis::rooms::{Claim, Refusal, RoomList, Struck};

/// How often a room's name is claimed before it is given up: each time somebody else was there
/// before.
const TRIES: usize = 4;
/// For how long at most a name that leads to no room is left to who claimed it.
const CLAIM_IS_NEW: Duration = Duration::from_secs(10);

impl Rooms {
    /// Puts a room on the list of those that the user is in; tells whether it was not there.
    pub(super) async fn list_joined(&self, user: u64, name: &RoomName, mark: u64) -> Result<bool> {
        let listed = self.enlist(user, RoomList::Joined, name, mark, true).await?;
        listed.ok_or_else(|| refusal::too_many_joined(&self.limits))
    }

    /// Puts a room on a list; tells whether it was not there, or `None` if there are too many.
    async fn enlist(
        &self,
        user: u64,
        list: RoomList,
        name: &RoomName,
        mark: u64,
        replace: bool,
    ) -> Result<Option<bool>> {
        let most = self.limits.rooms_per_user;
        for tried in [false, true] {
            match self.engine.enlist(user, list, name.folded(), mark, most, replace).await? {
                Ok(is_new) => return Ok(Some(is_new)),
                Err(Refusal::List(rooms)) if !tried => {
                    if !self.strike_past(user, list, rooms).await? {
                        return Ok(None);
                    }
                }
                Err(Refusal::List(_)) => return Ok(None),
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
        Ok(None)
    }

    /// Takes those rooms off a list that it should not have any more; tells whether there were any.
    async fn strike_past(
        &self,
        user: u64,
        list: RoomList,
        rooms: Vec<(String, u64)>,
    ) -> Result<bool> {
        let struck = iter(rooms).map(|(folded, mark)| async move {
            let keys = self.engine.room_keys(&folded);
            let stays = match list {
                RoomList::Joined => self.engine.is_member(&keys, user).await?,
                RoomList::Made => self.engine.glance(&keys).await?.is_some(),
            };
            if !stays {
                self.engine.delist(user, list, &folded, mark).await?;
            }
            Ok::<_, Error>(!stays)
        });
        let struck: Vec<Result<bool>> = struck.buffered(AT_ONCE).collect().await;
        struck.into_iter().try_fold(false, |any, struck| Ok(any | struck?))
    }

    /// Claims the name of a room that is about to be made.
    pub(super) async fn claim(&self, user: &User, name: &RoomName) -> Result<()> {
        for _ in 0..TRIES {
            let mark = rand::random();
            let Some(is_new) = self.enlist(user.id, RoomList::Made, name, mark, false).await?
            else {
                return Err(refusal::too_many_made(&self.limits));
            };
            let maker = Struck { maker: user.id, mark };
            let claimed = self
                .engine
                .claim_room(name.folded(), maker, self.limits.rooms, self.claim_is_new())
                .await?;
            if claimed == Ok(Claim::New) {
                if !is_new {
                    // The mark on the list was that of an earlier room of this name.
                    self.engine
                        .enlist(user.id, RoomList::Made, name.folded(), mark, u32::MAX, true)
                        .await?
                        .ok();
                }
                return Ok(());
            }
            if is_new {
                self.engine.delist(user.id, RoomList::Made, name.folded(), mark).await?;
            }
            match claimed {
                Ok(Claim::Old) => self.strike(name.folded(), self.claim_is_new()).await?,
                Ok(Claim::New | Claim::Known) => return Ok(()),
                Err(refused) => return Err(self.refused(refused, name)),
            }
        }
        Err(Error::new(
            Reason::StoreUnavailable,
            "the room is being made and ended at once; try again",
        ))
    }

    /// A room lives for its idle time at least: whatever was claimed earlier and is not there has
    /// ended.
    pub(super) fn claim_is_new(&self) -> Duration {
        self.limits.room_idle.min(CLAIM_IS_NEW)
    }

    /// Takes a name that leads to no room off the list of rooms, if it has been there for so long.
    pub(super) async fn strike(&self, folded: &str, age: Duration) -> Result<()> {
        match self.engine.strike_room(folded, age).await? {
            Some(Struck { maker, mark }) => {
                self.engine.delist(maker, RoomList::Made, folded, mark).await
            }
            None => Ok(()),
        }
    }
}
