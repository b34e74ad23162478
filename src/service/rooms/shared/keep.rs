//! Keeping the engine up with who is in a room here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::hall::{Hall, Leaving};
use super::{AT_ONCE, LEASE, Rooms, as_room_user};
use crate::model::Result;
use crate::service::user::User;
use crate::store::redis::rooms::{NewRoom, RoomKeys, RoomList, SEATS_AT_ONCE, Struck, Vacated};

/// How often the seats here are held on, and the room is looked at.
const HOLD_EVERY: Duration = Duration::from_secs(2);
/// The shortest time between two looks, whatever makes them seem needed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many steps a server's seats are taken away in at a time: more than a room's members need.
const MOST_STEPS: usize = 1_000;

/// Keeps the hall until nobody is in it any more.
pub(super) fn start(rooms: &Arc<Rooms>, hall: &Arc<Hall>) {
    let (rooms, hall) = (Arc::clone(rooms), Arc::clone(hall));
    let engine = rooms.engine.clone();
    engine.in_background(async move {
        keep(&rooms, &hall).await;
        Ok(())
    });
}

async fn keep(rooms: &Rooms, hall: &Hall) {
    let mut next_look = Instant::now() + HOLD_EVERY;
    let mut told_at = Instant::now();
    let mut differed = false;
    loop {
        let _ = timeout_at(next_look, hall.keeper.notified()).await;
        match give_up(rooms, hall).await {
            Ok(()) => told_at = Instant::now(),
            Err(error) => {
                tracing::debug!(?error, "who left a room could not be told");
                // At the next look.
                sleep_until(next_look).await;
            }
        }
        if hall.takes_doubt() {
            next_look = next_look.min(Instant::now() + LOOK_AGAIN);
        }
        if Instant::now() < next_look {
            continue;
        }
        next_look = Instant::now() + HOLD_EVERY;
        // After that time the engine has taken the seats away by itself.
        if rooms.close(hall, told_at.elapsed() > LEASE) {
            return;
        }
        match look(rooms, hall, differed).await {
            Ok(differs) => differed = differs,
            Err(error) => tracing::debug!(?error, "a room could not be looked at"),
        }
    }
}

/// Tells the engine who has left.
async fn give_up(rooms: &Rooms, hall: &Hall) -> Result<()> {
    loop {
        let leaving = hall.leaving(SEATS_AT_ONCE);
        if leaving.is_empty() {
            return Ok(());
        }
        let seats: Vec<u64> = leaving.iter().map(|leaving| leaving.seat).collect();
        let vacated = rooms.engine.depart(&hall.keys, rooms.front, &seats, &rooms.of_room).await?;
        hall.left(leaving.len());
        let never_came = leaving
            .into_iter()
            .filter_map(|Leaving { seat, listed }| Some(Vacated { user: listed?, seat }));
        rooms.unlist(hall.name.folded(), vacated.into_iter().chain(never_came).collect()).await;
    }
}

/// Holds the seats here on, and looks how the room stands. Tells whether the engine knows of other
/// seats than those.
async fn look(rooms: &Rooms, hall: &Hall, differed: bool) -> Result<bool> {
    let held = match rooms.engine.hold_seats(&hall.keys, rooms.front, &rooms.of_room).await? {
        Ok(held) => held,
        Err(_) => {
            settle(rooms, hall).await?;
            return Ok(false);
        }
    };
    hall.learn(rooms, held.epoch, held.from);
    if let Some(life) = hall.life()
        && life.epoch == held.epoch
    {
        if held.sequence > life.feed.last() {
            hall.listening.changed.notify_one();
        } else if held.sequence < life.feed.last() {
            // A node that had less took the place of the one that had these events.
            rooms.engine.restart_room(&hall.keys, held.epoch, rand::random()).await?;
            hall.doubt();
        }
    }
    for front in held.lapsed {
        rooms.evict(hall.name.folded(), &hall.keys, front).await?;
    }
    let differs = held.seats != hall.taken();
    // Who comes or goes just now makes a difference for a moment.
    if differs && (differed || held.seats == 0) {
        settle(rooms, hall).await?;
        return Ok(false);
    }
    Ok(differs)
}

/// Makes the engine know of the seats here, and of no others.
async fn settle(rooms: &Rooms, hall: &Hall) -> Result<()> {
    let known = rooms.engine.seats(&hall.keys, rooms.front).await?;
    let (lacking, nobodys) = hall.compare(&known);
    for seats in nobodys.chunks(SEATS_AT_ONCE) {
        let vacated = rooms.engine.depart(&hall.keys, rooms.front, seats, &rooms.of_room).await?;
        rooms.unlist(hall.name.folded(), vacated).await;
    }
    if lacking.is_empty() {
        return Ok(());
    }
    // If the room has gone, it is on no list either.
    let nobody = Struck { maker: 0, mark: 0 };
    let (most, is_new) = (rooms.limits.rooms, rooms.claim_is_new());
    drop(rooms.engine.claim_room(hall.name.folded(), nobody, most, is_new).await?);
    let new = NewRoom { epoch: rand::random(), name: hall.name.as_str() };
    let come = iter(lacking).map(|(seat, user)| come_back(rooms, hall, seat, user, new));
    let came: Vec<Result<()>> = come.buffered(AT_ONCE).collect().await;
    came.into_iter().collect()
}

async fn come_back(
    rooms: &Rooms,
    hall: &Hall,
    seat: u64,
    user: Arc<User>,
    new: NewRoom<'_>,
) -> Result<()> {
    let attended = rooms
        .engine
        .attend(&hall.keys, &as_room_user(&user), rooms.seat(seat), &rooms.of_room, Some(new))
        .await?;
    // Who does not fit any more is tried again at the next look.
    if let Ok(attended) = attended {
        hall.learn(rooms, attended.epoch, attended.from);
    }
    Ok(())
}

impl Rooms {
    /// Takes the seats of a server away that does not hold them any more.
    pub(super) async fn evict(&self, folded: &str, keys: &RoomKeys, front: u64) -> Result<()> {
        for _ in 0..MOST_STEPS {
            let (seats, vacated) = self.engine.evict(keys, front, &self.of_room).await?;
            self.unlist(folded, vacated).await;
            if seats == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes the room off the lists of those who have left it. What fails is found when such a list
    /// is full.
    async fn unlist(&self, folded: &str, vacated: Vec<Vacated>) {
        let unlisted = iter(vacated).map(|Vacated { user, seat }| async move {
            if let Err(error) = self.engine.delist(user, RoomList::Joined, folded, seat).await {
                tracing::debug!(?error, "a room could not be taken off a list");
            }
        });
        unlisted.buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}
