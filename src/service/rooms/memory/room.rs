//! One room.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::recent::Recent;
use super::{Shared, refusal, talk};
use crate::model::{
    Position, Result, Room as RoomView, RoomName, Saying, UnixMillis, User as UserView,
};
use crate::service::rooms::{Membership, RoomEvent, Someone, Welcome};
use crate::service::user::User;
use crate::store::feed::{Capacity, Feed};

/// How many members a welcome names; the others are listed.
const WELCOMED_MEMBERS: usize = 1_000;
/// How many ids of each user a room remembers while all rooms keep too much.
const RECENT_WHEN_CROWDED: usize = 100;

/// A room: its events, and who is in it.
pub(in crate::service::rooms) struct Room {
    pub(super) id: u64,
    pub(super) name: RoomName,
    maker: Arc<User>,
    epoch: u64,
    feed: Arc<Feed<RoomEvent>>,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    /// By the users' ids.
    members: BTreeMap<u64, Member>,
    recent: HashMap<u64, Recent>,
    recent_bytes: usize,
    /// What it counts in [`Shared::kept`].
    counted: u64,
    last_use: UnixMillis,
    ended: bool,
}

struct Member {
    user: UserView,
    streams: u32,
}

impl Room {
    pub(super) fn new(id: u64, name: RoomName, maker: Arc<User>, shared: Arc<Shared>) -> Self {
        let limits = &shared.limits;
        let capacity = Capacity {
            events: limits.room_history as usize,
            bytes: usize::try_from(limits.room_history_bytes).unwrap_or(usize::MAX),
        };
        let state = State {
            members: BTreeMap::new(),
            recent: HashMap::new(),
            recent_bytes: 0,
            counted: 0,
            last_use: shared.clock.now(),
            ended: false,
        };
        let feed = Feed::new(0, capacity);
        Self { id, name, maker, epoch: rand::random(), feed, state: Mutex::new(state), shared }
    }

    /// Makes the user a member with one more stream; `None`: the room has ended.
    pub(super) fn join(
        self: Arc<Self>,
        user: &Arc<User>,
        after: Option<Position>,
    ) -> Result<Option<Membership>> {
        let someone = Someone { id: user.id, user: user.view() };
        let mut state = self.state.lock();
        if state.ended {
            return Ok(None);
        }
        // What the user hears of before its own coming is what was there before.
        let before = self.feed.last();
        let is_new = self.count_in(&mut state, user, &someone.user)?;
        let (start, gap) = self.start(after);
        let follower = self.feed.follow(start);
        if is_new {
            self.publish(&mut state, RoomEvent::Joined(someone));
        }
        let members: Vec<_> = state
            .members
            .values()
            .take(WELCOMED_MEMBERS)
            .map(|member| member.user.clone())
            .collect();
        let welcome = Welcome {
            room: self.name.as_str().to_owned(),
            members,
            member_count: u32::try_from(state.members.len()).unwrap_or(u32::MAX),
            latest: self.position(before),
            gap,
        };
        drop(state);
        // Who resumes hears all that happened; who is new does not want to know who came and went
        // before.
        let resumes = after.is_some() && !gap;
        let quiet_until = if resumes { 0 } else { before };
        Ok(Some(Membership::own(self, Arc::clone(user), follower, welcome, quiet_until)))
    }

    /// Behind which event a follower starts that has seen those up to `after`, and whether it
    /// missed some that nobody can tell it.
    fn start(&self, after: Option<Position>) -> (u64, bool) {
        let history = self.feed.first() - 1;
        match after {
            None => (history, false),
            Some(after) if after.epoch == self.epoch && after.sequence <= self.feed.last() => {
                (after.sequence, false)
            }
            Some(_) => (history, true),
        }
    }

    /// Counts one more stream of a member; true if the user is new here.
    fn count_in(&self, state: &mut State, user: &User, view: &UserView) -> Result<bool> {
        let limits = &self.shared.limits;
        if let Some(member) = state.members.get_mut(&user.id) {
            member.streams += 1;
            return Ok(false);
        }
        if state.members.len() >= limits.members_per_room as usize {
            return Err(refusal::too_many_members(limits));
        }
        if !talk::count(&user.talk.joined, limits.rooms_per_user) {
            return Err(refusal::too_many_joined(limits));
        }
        state.members.insert(user.id, Member { user: view.clone(), streams: 1 });
        Ok(true)
    }

    /// Counts one stream less of a member; with the last one it has left.
    pub(in crate::service::rooms) fn leave(&self, user: &User) {
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&user.id) else { return };
        member.streams -= 1;
        if member.streams > 0 {
            return;
        }
        if let Some(member) = state.members.remove(&user.id) {
            talk::uncount(&user.talk.joined);
            self.publish(&mut state, RoomEvent::Left(Someone { id: user.id, user: member.user }));
        }
    }

    /// Says something, once; gives its place. `None`: the room has ended.
    pub(in crate::service::rooms) fn say(
        &self,
        user: &User,
        saying: &Saying,
    ) -> Result<Option<Position>> {
        let sender = Someone { id: user.id, user: user.view() };
        let mut state = self.state.lock();
        if state.ended {
            return Ok(None);
        }
        let now = self.shared.clock.now();
        if let Some(id) = saying.id()
            && let Some(recent) = state.recent.get_mut(&user.id)
        {
            recent.forget(now, usize::MAX);
            if let Some(sequence) = recent.find(id, saying)? {
                return Ok(Some(self.position(sequence)));
            }
        }
        let message = RoomEvent::Message { sender, text: saying.text().to_owned(), send_time: now };
        let sequence = self.publish(&mut state, message);
        if let Some(id) = saying.id() {
            let recent = state.recent.entry(user.id).or_default();
            let before = recent.bytes();
            recent.add(id, saying, sequence, now);
            let after = recent.bytes();
            state.recent_bytes = (state.recent_bytes + after).saturating_sub(before);
            self.settle(&mut state);
        }
        Ok(Some(self.position(sequence)))
    }

    fn publish(&self, state: &mut State, event: RoomEvent) -> u64 {
        state.last_use = self.shared.clock.now();
        let weight = event.weight();
        let sequence = self.feed.publish(event, weight);
        self.settle(state);
        sequence
    }

    /// Tells the others what this room keeps, and keeps less if that is too much for all.
    fn settle(&self, state: &mut State) {
        self.count(state);
        if self.shared.kept.load(Ordering::Relaxed) > self.shared.limits.history_bytes {
            self.shared.crowded.store(true, Ordering::Release);
            self.shrink(state);
        }
    }

    fn shrink(&self, state: &mut State) {
        let now = self.shared.clock.now();
        state.recent_bytes = 0;
        for recent in state.recent.values_mut() {
            recent.forget(now, RECENT_WHEN_CROWDED);
            state.recent_bytes += recent.bytes();
        }
        self.feed.trim(self.shared.share());
        self.count(state);
    }

    fn count(&self, state: &mut State) {
        let bytes = (self.feed.bytes() + state.recent_bytes) as u64;
        self.shared.kept.fetch_add(bytes.wrapping_sub(state.counted), Ordering::Relaxed);
        state.counted = bytes;
    }

    /// Forgets what is old, and keeps less if there is not enough for all. True if nobody used the
    /// room for long.
    pub(super) fn tidy(&self, crowded: bool) -> bool {
        let mut state = self.state.lock();
        let now = self.shared.clock.now();
        let mut bytes = 0;
        state.recent.retain(|_, recent| {
            recent.forget(now, usize::MAX);
            bytes += recent.bytes();
            !recent.is_empty()
        });
        state.recent_bytes = bytes;
        self.count(&mut state);
        if crowded {
            self.shrink(&mut state);
        }
        self.is_idle(&state)
    }

    fn is_idle(&self, state: &State) -> bool {
        let end = state.last_use.saturating_add(self.shared.limits.room_idle);
        state.members.is_empty() && end <= self.shared.clock.now()
    }

    /// Ends it if nobody used it for long, and tells whether it has.
    pub(super) fn end_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        if state.ended || !self.is_idle(&state) {
            return false;
        }
        state.ended = true;
        self.shared.kept.fetch_sub(state.counted, Ordering::Relaxed);
        talk::uncount(&self.maker.talk.made);
        true
    }

    pub(super) fn members(&self, after: u64, size: usize) -> Vec<(u64, UserView)> {
        let state = self.state.lock();
        let behind = state.members.range((Bound::Excluded(after), Bound::Unbounded));
        behind.take(size).map(|(id, member)| (*id, member.user.clone())).collect()
    }

    pub(super) fn view(&self) -> RoomView {
        let members = self.state.lock().members.len();
        RoomView {
            name: self.name.as_str().to_owned(),
            member_count: u32::try_from(members).unwrap_or(u32::MAX),
        }
    }

    pub(in crate::service::rooms) fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }
}
