//! Bringing a room's events from the engine to those who are in it here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Rooms;
use super::hall::{Hall, Life};
use crate::model::Result;
use crate::service::rooms::{RoomEvent, Someone};
use crate::store::redis::rooms::{Happened, Happening};

/// How many events are read at a time; fewer where a room keeps few, so that members here see them
/// before they are forgotten.
const READ_AT_ONCE: usize = 200;
/// After how long it is tried again when the engine does not answer.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What a look at the engine came to.
#[derive(PartialEq, Eq)]
enum Found {
    /// All that there was.
    All,
    /// There may be more.
    Some,
    /// A room that is not the one that was followed.
    Other,
}

/// Follows the room until the hall ends.
pub(super) fn start(rooms: &Arc<Rooms>, hall: &Arc<Hall>) {
    let (rooms, hall) = (Arc::clone(rooms), Arc::clone(hall));
    let engine = rooms.engine.clone();
    engine.in_background(async move {
        follow(&rooms, &hall).await;
        Ok(())
    });
}

async fn follow(rooms: &Rooms, hall: &Hall) {
    while !hall.is_over() {
        let found = match hall.life() {
            Some(life) => read(rooms, hall, &life).await,
            None => Ok(Found::All),
        };
        match found {
            Ok(Found::Some) => tokio::task::yield_now().await,
            Ok(Found::All) => hall.listening.changed.notified().await,
            Ok(Found::Other) => {
                // The keeper finds out what it is.
                hall.doubt();
                hall.listening.changed.notified().await;
            }
            Err(error) => {
                tracing::debug!(?error, "a room's events could not be read");
                sleep(TRY_AGAIN).await;
            }
        }
    }
    hall.keep_nothing(rooms);
}

/// Reads what is new.
async fn read(rooms: &Rooms, hall: &Hall, life: &Life) -> Result<Found> {
    let feed = &life.feed;
    let most = (rooms.limits.room_history as usize / 4).clamp(1, READ_AT_ONCE);
    let read = rooms.engine.read_room(&hall.keys, feed.last(), most).await?;
    let Some(stand) =
        read.stand.filter(|stand| stand.epoch == life.epoch && stand.sequence >= feed.last())
    else {
        return Ok(Found::Other);
    };
    let count = read.events.len();
    if count == 0 {
        if stand.sequence > feed.last() && is_missing(rooms, hall, feed.last()).await? {
            feed.skip_to(stand.sequence);
            hall.reached.notify_waiters();
        }
        return Ok(Found::All);
    }
    for happened in read.events {
        if happened.sequence <= feed.last() {
            continue;
        }
        if happened.sequence > feed.last() + 1 {
            feed.skip_to(happened.sequence - 1);
        }
        let event = event(happened);
        let weight = event.weight();
        feed.append(event, weight);
    }
    feed.wake();
    hall.reached.notify_waiters();
    hall.count(rooms, life);
    Ok(if count == most { Found::Some } else { Found::All })
}

/// Whether there is nothing behind a place, though the room has gone on: looked at again, since the
/// first look may have been before it did.
async fn is_missing(rooms: &Rooms, hall: &Hall, after: u64) -> Result<bool> {
    let again = rooms.engine.read_room(&hall.keys, after, 1).await?;
    if !again.events.is_empty() {
        hall.listening.changed.notify_one();
    }
    Ok(again.events.is_empty())
}

fn event(happened: Happened) -> RoomEvent {
    let Happened { what, who, time, text, .. } = happened;
    let someone = Someone { id: who.id, user: who.view };
    match what {
        Happening::Joined => RoomEvent::Joined(someone),
        Happening::Left => RoomEvent::Left(someone),
        Happening::Message => RoomEvent::Message { sender: someone, text, send_time: time },
    }
}
