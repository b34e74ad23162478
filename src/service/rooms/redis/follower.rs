//! The follower of a room: reads its events from Redis into the feed of its members.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::RedisRooms;
use super::replica::RoomReplica;
use crate::model::Result;
use crate::service::rooms::feed::Generation;
use crate::service::rooms::history::weight;

/// Maximum number of events that are read at a time. Of a room with a short history fewer are, so
/// that members here receive them before they are trimmed.
const EVENTS_PER_READ: usize = 200;
/// Time after which a failed read is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(PartialEq, Eq)]
enum ReadOutcome {
    /// The feed has all events.
    CaughtUp,
    /// There may be more events.
    More,
    /// The room in Redis does not continue the generation that is followed.
    OtherGeneration,
}

/// Follows a room until its replica is closed.
pub(super) async fn follow(rooms: Arc<RedisRooms>, replica: Arc<RoomReplica>) -> Result<()> {
    while !replica.is_closed() {
        let outcome = match replica.feed.generation() {
            Some(generation) => read(&rooms, &replica, &generation).await,
            None => Ok(ReadOutcome::CaughtUp),
        };
        match outcome {
            Ok(ReadOutcome::More) => tokio::task::yield_now().await,
            Ok(ReadOutcome::CaughtUp) => replica.listener.changed.notified().await,
            Ok(ReadOutcome::OtherGeneration) => {
                // The keeper finds out which it is.
                replica.mark_stale();
                replica.listener.changed.notified().await;
            }
            Err(error) => {
                tracing::debug!(?error, "a room's events could not be read");
                sleep(RETRY_AFTER).await;
            }
        }
    }
    Ok(())
}

/// Reads new events.
async fn read(
    rooms: &RedisRooms,
    replica: &RoomReplica,
    generation: &Generation,
) -> Result<ReadOutcome> {
    let feed = &generation.feed;
    let limit = (rooms.limits.room_history as usize / 4).clamp(1, EVENTS_PER_READ);
    let read = rooms.engine.read_room(&replica.keys, feed.last(), limit).await?;
    let Some(latest) = read.latest.filter(|latest| generation.continues_to(latest)) else {
        return Ok(ReadOutcome::OtherGeneration);
    };
    let count = read.events.len();
    if count == 0 {
        if latest.sequence > feed.last() && is_trimmed(rooms, replica, feed.last()).await? {
            feed.skip_to(latest.sequence);
            replica.progress.notify_waiters();
        }
        return Ok(ReadOutcome::CaughtUp);
    }
    for (sequence, event) in read.events {
        if sequence <= feed.last() {
            continue;
        }
        if sequence > feed.last() + 1 {
            feed.skip_to(sequence - 1);
        }
        let weight = weight(&event);
        feed.append(event, weight);
    }
    feed.wake();
    replica.progress.notify_waiters();
    if replica.feed.charge(feed.bytes()) {
        feed.trim(rooms.budget.share());
        replica.feed.charge(feed.bytes());
    }
    Ok(if count == limit { ReadOutcome::More } else { ReadOutcome::CaughtUp })
}

/// Returns true if Redis has no events after a sequence, although the room has gone on. Reads them
/// again, since the first read may have preceded the latest event.
async fn is_trimmed(rooms: &RedisRooms, replica: &RoomReplica, after: u64) -> Result<bool> {
    let again = rooms.engine.read_room(&replica.keys, after, 1).await?;
    if !again.events.is_empty() {
        replica.listener.changed.notify_one();
    }
    Ok(again.events.is_empty())
}
