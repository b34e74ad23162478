//! A stream of a member of a room.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::feed::{Generation, RoomFeed, Subscription};
use super::history::is_message;
use super::in_process::ProcessLease;
use super::redis::RedisLease;
use crate::model::{ChatEvent, ChatMessage, Position, Result, User};
use crate::store::feed::{FeedItem, Follower};

/// The room as it was when a stream joined it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The room's name, as its creator wrote it.
    pub room: String,
    /// The first 1,000 members.
    pub members: Vec<User>,
    /// Number of members.
    pub member_count: u32,
    /// Position of the latest event before the join.
    pub latest: Position,
    /// True if events after the position to resume from are missing.
    pub gap: bool,
}

/// Result of a backend's join.
pub(super) struct Joined {
    pub(super) lease: Lease,
    pub(super) feed: Arc<RoomFeed>,
    pub(super) generation: Arc<Generation>,
    /// The room at the join; a gap is not known yet.
    pub(super) welcome: Welcome,
}

/// Keeps the stream's user a member. The stream leaves when it is dropped.
pub(super) enum Lease {
    InProcess(ProcessLease),
    Redis(RedisLease),
}

/// A stream of a member: the room's events, from its join on. The stream leaves the room when it is
/// dropped.
pub struct Membership {
    lease: Lease,
    feed: Arc<RoomFeed>,
    generation: Arc<Generation>,
    follower: Follower<ChatEvent>,
    welcome: Welcome,
    /// Sequence up to which only messages are delivered.
    messages_only_until: u64,
}

/// Outcome of publishing a message.
pub enum Publication {
    /// Known: the message has its position, or was refused.
    Ready(Result<Position>),
    /// Known later. The message may be published even if the future is dropped.
    Pending(BoxFuture<'static, Result<Position>>),
}

impl Publication {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// As [`Membership::publish`].
    pub async fn result(self) -> Result<Position> {
        match self {
            Self::Ready(result) => result,
            Self::Pending(result) => result.await,
        }
    }
}

impl Membership {
    /// `after`: the position to resume from; without one, the stream receives the history.
    pub(super) fn new(joined: Joined, after: Option<Position>) -> Self {
        let Joined { lease, feed, generation, mut welcome } = joined;
        let Subscription { follower, gap } = generation.subscribe(after);
        welcome.gap = gap;
        // A stream that resumes receives all events; a new one does not need to know who joined and
        // left before.
        let resumes = after.is_some() && !gap;
        let messages_only_until = if resumes { 0 } else { welcome.latest.sequence };
        Self { lease, feed, generation, follower, welcome, messages_only_until }
    }

    /// Returns the room as it was at the join.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Returns the position of the latest event that the stream received; before the first one, the
    /// position after which it follows.
    pub fn position(&self) -> Position {
        self.generation.position(self.follower.next_sequence() - 1)
    }

    /// Returns the next event or gap, or `Pending` until there is one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FeedItem<ChatEvent>> {
        loop {
            let Poll::Ready(next) = self.follower.poll_next(context) else {
                // Checked after the waker is registered: it is woken when a generation begins.
                return self.follow_next_generation();
            };
            if !self.skips(&next) {
                return Poll::Ready(next);
            }
        }
    }

    /// Follows the room's current generation if the one that was followed is replaced.
    fn follow_next_generation(&mut self) -> Poll<FeedItem<ChatEvent>> {
        if !self.generation.is_replaced() {
            return Poll::Pending;
        }
        let Some(generation) = self.feed.generation() else { return Poll::Pending };
        let from = self.follower.next_sequence();
        self.messages_only_until = generation.feed.last();
        self.follower = generation.subscribe(None).follower;
        self.generation = generation;
        Poll::Ready(FeedItem::Gap { from, to: self.follower.next_sequence() })
    }

    /// Returns the next event or gap if there is one and no event that is to be skipped precedes
    /// it.
    pub fn try_next(&mut self) -> Option<FeedItem<ChatEvent>> {
        self.follower.try_next().filter(|next| !self.skips(next))
    }

    fn skips(&self, next: &FeedItem<ChatEvent>) -> bool {
        match next {
            FeedItem::Event(event) => {
                event.sequence <= self.messages_only_until && !is_message(&event.body)
            }
            FeedItem::Gap { .. } => false,
        }
    }

    /// Publishes a message. Its position is that of the first one if the same message was published
    /// before with the same id. The caller counts it against the rate of its user, by
    /// [`Service::admit_message`](crate::service::Service::admit_message).
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`; in Redis also `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `SERVER_FULL`.
    pub fn publish(&self, message: &ChatMessage) -> Publication {
        match &self.lease {
            Lease::InProcess(lease) => Publication::Ready(lease.publish(message)),
            Lease::Redis(lease) => Publication::Pending(lease.publish(message.clone())),
        }
    }
}
