//! A room in the memory of this process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::recent::RecentMessages;
use super::{ProcessLease, RoomContext, refusal};
use crate::model::{
    ChatEvent, ChatMessage, Participant, Position, Result, Room as RoomView, RoomName, UnixMillis,
    User as UserView,
};
use crate::service::rooms::MEMBERS_PER_JOIN;
use crate::service::rooms::feed::{Generation, RoomFeed};
use crate::service::rooms::history::weight;
use crate::service::rooms::membership::{Joined, Lease, Welcome};

use crate::service::user::User;

/// Number of message ids of each user that a room remembers while the histories exceed their limit.
const IDS_WHEN_TRIMMED: usize = 100;

/// A room's members and what it remembers. Its only generation ends with it.
pub(super) struct ProcessRoom {
    pub(super) id: u64,
    pub(super) name: RoomName,
    creator: Arc<User>,
    feed: Arc<RoomFeed>,
    generation: Arc<Generation>,
    context: Arc<RoomContext>,
    state: Mutex<RoomState>,
}

struct RoomState {
    /// By the users' ids.
    members: BTreeMap<u64, Member>,
    /// By the users' ids.
    recent: HashMap<u64, RecentMessages>,
    recent_bytes: usize,
    last_use: UnixMillis,
    ended: bool,
}

struct Member {
    user: UserView,
    streams: u32,
}

impl ProcessRoom {
    pub(super) fn new(
        id: u64,
        name: RoomName,
        creator: Arc<User>,
        context: &Arc<RoomContext>,
    ) -> Self {
        let (feed, generation) =
            RoomFeed::with_generation(&context.limits, Arc::clone(&context.budget), rand::random());
        let state = RoomState {
            members: BTreeMap::new(),
            recent: HashMap::new(),
            recent_bytes: 0,
            last_use: context.clock.now(),
            ended: false,
        };
        let (context, state) = (Arc::clone(context), Mutex::new(state));
        Self { id, name, creator, feed, generation, context, state }
    }

    /// Adds a stream of a user, who becomes a member by its first stream. Returns `None` if the
    /// room has ended.
    pub(super) fn join(self: Arc<Self>, user: &Arc<User>) -> Result<Option<Joined>> {
        let participant = user.participant();
        let mut state = self.state.lock();
        if state.ended {
            return Ok(None);
        }
        let before = self.generation.feed.last();
        if self.add_stream(&mut state, user, &participant.user)? {
            self.append(&mut state, ChatEvent::Joined(participant));
        }
        let members = state.members.values().take(MEMBERS_PER_JOIN);
        let welcome = Welcome {
            room: self.name.as_str().to_owned(),
            members: members.map(|member| member.user.clone()).collect(),
            member_count: member_count(&state),
            latest: self.generation.position(before),
            gap: false,
        };
        drop(state);
        let (feed, generation) = (Arc::clone(&self.feed), Arc::clone(&self.generation));
        let lease = Lease::InProcess(ProcessLease { room: self, user: Arc::clone(user) });
        Ok(Some(Joined { lease, feed, generation, welcome }))
    }

    /// Returns true if the user has become a member.
    fn add_stream(&self, state: &mut RoomState, user: &User, view: &UserView) -> Result<bool> {
        let limits = &self.context.limits;
        if let Some(member) = state.members.get_mut(&user.id) {
            member.streams += 1;
            return Ok(false);
        }
        if state.members.len() >= limits.members_per_room as usize {
            return Err(refusal::room_full(limits));
        }
        if !user.rooms.joined.add(limits.rooms_per_user) {
            return Err(refusal::too_many_joined(limits));
        }
        state.members.insert(user.id, Member { user: view.clone(), streams: 1 });
        Ok(true)
    }

    /// Removes a stream of a member, who leaves with its last one.
    pub(super) fn leave(&self, user: &User) {
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&user.id) else { return };
        member.streams -= 1;
        if member.streams > 0 {
            return;
        }
        if let Some(member) = state.members.remove(&user.id) {
            user.rooms.joined.subtract();
            let participant = Participant { id: user.id, user: member.user };
            self.append(&mut state, ChatEvent::Left(participant));
        }
    }

    /// Publishes a message, once if it has an id, and returns its position; `None` if the room has
    /// ended.
    pub(super) fn publish(&self, user: &User, message: &ChatMessage) -> Result<Option<Position>> {
        let sender = user.participant();
        let mut state = self.state.lock();
        if state.ended {
            return Ok(None);
        }
        let now = self.context.clock.now();
        if let Some(id) = message.id()
            && let Some(recent) = state.recent.get_mut(&user.id)
        {
            recent.forget(now, usize::MAX);
            if let Some(sequence) = recent.find(id, message)? {
                return Ok(Some(self.generation.position(sequence)));
            }
        }
        let text = message.text().to_owned();
        let event = ChatEvent::Message { sender, text, send_time: now };
        let sequence = self.append(&mut state, event);
        if let Some(id) = message.id() {
            let recent = state.recent.entry(user.id).or_default();
            let before = recent.bytes();
            recent.add(id, message, sequence, now);
            let after = recent.bytes();
            state.recent_bytes = (state.recent_bytes + after).saturating_sub(before);
            self.charge(&mut state);
        }
        Ok(Some(self.generation.position(sequence)))
    }

    fn append(&self, state: &mut RoomState, event: ChatEvent) -> u64 {
        state.last_use = self.context.clock.now();
        let weight = weight(&event);
        let sequence = self.generation.feed.publish(event, weight);
        self.charge(state);
        sequence
    }

    /// Charges the budget for the room, and trims the room if all together exceed the limit.
    fn charge(&self, state: &mut RoomState) {
        if self.charge_budget(state) {
            self.context.trim_all.store(true, Ordering::Release);
            self.trim(state);
        }
    }

    fn charge_budget(&self, state: &RoomState) -> bool {
        self.feed.charge(self.generation.feed.bytes() + state.recent_bytes)
    }

    fn trim(&self, state: &mut RoomState) {
        self.forget_recent(state, IDS_WHEN_TRIMMED);
        self.generation.feed.trim(self.context.budget.share());
        self.charge_budget(state);
    }

    /// Forgets message ids that are too old, and the oldest of more than `limit` of each user.
    fn forget_recent(&self, state: &mut RoomState, limit: usize) {
        let now = self.context.clock.now();
        let mut bytes = 0;
        state.recent.retain(|_, recent| {
            recent.forget(now, limit);
            bytes += recent.bytes();
            !recent.is_empty()
        });
        state.recent_bytes = bytes;
    }

    /// Forgets old message ids; `trim`: also what exceeds the room's share. Returns true if the
    /// room has been unused for long enough to end.
    pub(super) fn tidy(&self, trim: bool) -> bool {
        let mut state = self.state.lock();
        self.forget_recent(&mut state, usize::MAX);
        self.charge_budget(&state);
        if trim {
            self.trim(&mut state);
        }
        self.is_idle(&state)
    }

    fn is_idle(&self, state: &RoomState) -> bool {
        let idle = self.context.limits.room_idle;
        state.members.is_empty() && state.last_use.saturating_add(idle) <= self.context.clock.now()
    }

    /// Ends the room if it is still idle. Returns true if it has ended by this call.
    pub(super) fn end_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        if state.ended || !self.is_idle(&state) {
            return false;
        }
        state.ended = true;
        self.creator.rooms.created.subtract();
        true
    }

    pub(super) fn members(&self, after: u64, size: usize) -> Vec<(u64, UserView)> {
        let state = self.state.lock();
        let members = state.members.range((Bound::Excluded(after), Bound::Unbounded));
        members.take(size).map(|(id, member)| (*id, member.user.clone())).collect()
    }

    pub(super) fn view(&self) -> RoomView {
        let member_count = member_count(&self.state.lock());
        RoomView { name: self.name.as_str().to_owned(), member_count }
    }
}

fn member_count(state: &RoomState) -> u32 {
    u32::try_from(state.members.len()).unwrap_or(u32::MAX)
}
