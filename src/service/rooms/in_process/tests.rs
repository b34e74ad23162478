//! Rooms, with a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::model::ChatEvent;
use crate::model::{Reason, UnixMillis, UserName};
use crate::service::rooms::membership::Membership;
use crate::service::rooms::usage::RoomUsage;
use crate::service::user::Privilege;
use crate::store::feed::FeedItem;
use crate::store::{Backend, MemoryEngine};

const START: u64 = 1_000_000;

struct Town {
    rooms: InProcessRooms,
    clock: Clock,
    engine: MemoryEngine,
    next_id: u64,
}

impl Town {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let clock = Clock::manual(UnixMillis::new(START));
        let store = crate::store::StoreLimits {
            max_keys_per_user: 1,
            max_bytes_per_user: 1,
            max_bytes_total: 1,
        };
        let engine = MemoryEngine::new(clock.clone(), store);
        let budget = Arc::new(HistoryBudget::new(limits.history_bytes));
        let rooms = InProcessRooms::new(limits, clock.clone(), budget);
        Self { rooms, clock, engine, next_id: 0 }
    }

    fn user(&mut self, name: &str) -> Arc<User> {
        self.next_id += 1;
        let store = Backend::Memory(self.engine.open());
        Arc::new(User::new(
            self.next_id,
            UserName::new(name).unwrap(),
            false,
            Privilege::Guest,
            store,
        ))
    }

    fn join(&self, user: &Arc<User>, room: &str, after: Option<Position>) -> Membership {
        Membership::new(self.rooms.join(user, &name(room), true).unwrap(), after)
    }

    fn refusal(&self, user: &Arc<User>, room: &str, create: bool) -> Option<Reason> {
        self.rooms.join(user, &name(room), create).err().map(|error| error.reason())
    }

    fn rooms(&self) -> u64 {
        self.rooms.context.budget.rooms()
    }

    fn history_bytes(&self) -> u64 {
        self.rooms.context.budget.used()
    }

    fn say(&self, user: &Arc<User>, room: &str, text: &str, id: &str) -> Result<u64> {
        let message = ChatMessage::new(text, id).unwrap();
        Ok(self.rooms.publish(user, &name(room), &message)?.sequence)
    }

    /// Sweeps until every room was looked at.
    fn sweep(&self) {
        for _ in 0..=self.rooms() / ROOMS_PER_SWEEP as u64 {
            self.rooms.sweep();
        }
    }
}

fn name(room: &str) -> RoomName {
    RoomName::new(room).unwrap()
}

/// All that a member can hear now, in words.
fn heard(member: &mut Membership) -> Vec<String> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut heard = Vec::new();
    while let std::task::Poll::Ready(next) = member.poll_next(&mut context) {
        heard.push(match next {
            FeedItem::Gap { .. } => "gap".to_owned(),
            FeedItem::Event(event) => {
                let who = &event.body.participant().user.name;
                match &event.body {
                    ChatEvent::Joined(_) => format!("+{who}"),
                    ChatEvent::Left(_) => format!("-{who}"),
                    ChatEvent::Message { text, .. } => format!("{who}: {text}"),
                }
            }
        });
    }
    heard
}

#[test]
fn a_user_is_a_member_from_its_first_stream_to_its_last() {
    let mut town = Town::new(|_| {});
    let (ann, bob) = (town.user("ann"), town.user("bob"));
    let mut listens = town.join(&ann, "", None);
    let (one, two) = (town.join(&bob, "Lobby", None), town.join(&bob, "ＬＯＢＢＹ", None));
    assert_eq!(
        two.welcome().members.iter().map(|user| &user.name[..]).collect::<Vec<_>>(),
        ["ann", "bob"]
    );
    assert_eq!((two.welcome().member_count, &two.welcome().room[..]), (2, "lobby"));
    drop(one);
    assert_eq!(heard(&mut listens), ["+ann", "+bob"]);
    drop(two);
    assert_eq!(heard(&mut listens), ["-bob"]);
    assert_eq!(town.rooms.members(&name("lobby"), 0, 10).unwrap().len(), 1);
}

#[test]
fn a_resend_is_said_once_and_another_text_under_its_id_is_refused() {
    let mut town = Town::new(|_| {});
    let (ann, bob) = (town.user("ann"), town.user("bob"));
    let first = town.say(&ann, "r", "hello", "1").unwrap();
    assert_eq!(town.say(&ann, "r", "hello", "1").unwrap(), first);
    assert_eq!(town.say(&ann, "r", "other", "1").unwrap_err().reason(), Reason::RequestIdReused);
    assert_ne!(town.say(&bob, "r", "hello", "1").unwrap(), first, "ids are each user's own");
    assert_ne!(town.say(&ann, "s", "hello", "1").unwrap(), 0, "and each room's");
    for number in 0..recent::MAX_RECENT {
        assert_eq!(town.say(&ann, "r", "hello", "1").unwrap(), first, "{number}");
        town.say(&ann, "r", "more", &format!("more {number}")).unwrap();
    }
    assert_ne!(
        town.say(&ann, "r", "hello", "1").unwrap(),
        first,
        "only the last 1,000 are remembered"
    );
    let second = town.say(&ann, "r", "late", "late").unwrap();
    town.clock.advance(Duration::from_millis(299_999));
    assert_eq!(town.say(&ann, "r", "late", "late").unwrap(), second);
    town.clock.advance(Duration::from_millis(1));
    assert_ne!(town.say(&ann, "r", "late", "late").unwrap(), second, "for 5 minutes");
}

#[test]
fn who_joins_gets_the_last_messages_and_who_resumes_what_it_missed() {
    let mut town = Town::new(|limits| limits.room_history = 3);
    let (ann, bob) = (town.user("ann"), town.user("bob"));
    let mut member = town.join(&ann, "r", None);
    assert_eq!(heard(&mut member), ["+ann"]);
    let seen = member.position();
    for text in ["1", "2"] {
        town.say(&ann, "r", text, "").unwrap();
    }
    drop(town.join(&bob, "r", None));
    assert_eq!(
        heard(&mut town.join(&bob, "r", None)),
        ["ann: 1", "ann: 2", "+bob"],
        "comings of the past are not told"
    );
    assert_eq!(
        heard(&mut town.join(&bob, "r", Some(seen))),
        ["ann: 1", "ann: 2", "+bob", "-bob", "+bob", "-bob", "+bob"]
    );
    for text in ["3", "4"] {
        town.say(&ann, "r", text, "").unwrap();
    }
    let mut resumed = town.join(&bob, "r", Some(seen));
    assert_eq!(heard(&mut resumed)[..2], ["gap", "ann: 2"], "what is not kept is a gap");
    assert_eq!(heard(&mut member)[0], "gap", "for a slow reader too");
    for other in [Position { epoch: seen.epoch + 1, ..seen }, Position { sequence: 999, ..seen }] {
        let mut stranger = town.join(&bob, "r", Some(other));
        assert!(stranger.welcome().gap, "{other:?}");
        assert_eq!(heard(&mut stranger)[0], "ann: 2", "{other:?}");
    }
}

struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// No room of one process does so, but the members of a room in Redis follow it by the same code.
#[test]
fn a_member_goes_on_with_the_next_generation_after_a_gap() {
    let mut town = Town::new(|_| {});
    let (ann, bob) = (town.user("ann"), town.user("bob"));
    let joined = town.rooms.join(&ann, &name("r"), true).unwrap();
    let feed = Arc::clone(&joined.feed);
    let mut member = Membership::new(joined, None);
    assert_eq!(heard(&mut member), ["+ann"]);
    let old = member.position();
    assert!(!feed.begin(old.epoch, 7), "it is the current one");
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Arc::clone(&woken).into();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(member.poll_next(&mut context).is_pending());

    assert!(feed.begin(old.epoch ^ 1, 40));
    assert!(woken.0.load(Ordering::SeqCst), "who waits is woken");
    let generation = feed.generation().unwrap();
    let publish = |event: ChatEvent| {
        let weight = crate::service::rooms::history::weight(&event);
        generation.feed.publish(event, weight)
    };
    let message = |text: &str| ChatEvent::Message {
        sender: bob.participant(),
        text: text.to_owned(),
        send_time: UnixMillis::new(START),
    };
    publish(ChatEvent::Joined(bob.participant()));
    publish(message("before it came over"));
    assert_eq!(heard(&mut member), ["gap", "bob: before it came over"]);
    assert_eq!(member.position(), Position { epoch: old.epoch ^ 1, sequence: 42 });
    publish(ChatEvent::Left(bob.participant()));
    publish(message("after"));
    assert_eq!(heard(&mut member), ["-bob", "bob: after"]);
}

#[test]
fn a_room_ends_with_its_history_some_time_after_its_last_use() {
    let mut town = Town::new(|_| {});
    let ann = town.user("ann");
    let member = town.join(&ann, "r", None);
    town.say(&ann, "r", "text", "").unwrap();
    let epoch = member.position().epoch;
    town.clock.advance(Duration::from_millis(3_600_000));
    town.sweep();
    assert_eq!(town.rooms(), 1, "a room with a member stays");
    drop(member);
    town.clock.advance(Duration::from_millis(599_999));
    town.sweep();
    assert_eq!(town.rooms(), 1);
    assert!(town.history_bytes() > 0);
    town.clock.advance(Duration::from_millis(1));
    town.sweep();
    assert_eq!((town.rooms(), town.history_bytes()), (0, 0));
    assert_eq!(town.rooms.members(&name("r"), 0, 1).unwrap_err().reason(), Reason::RoomNotFound);
    assert_eq!(town.refusal(&ann, "r", false), Some(Reason::RoomNotFound));
    let mut member = town.join(&ann, "r", None);
    assert_ne!(member.position().epoch, epoch);
    assert_eq!(heard(&mut member), ["+ann"]);
}

#[test]
fn limits_are_kept_and_a_refusal_changes_nothing() {
    let mut town = Town::new(|limits| {
        (limits.rooms, limits.rooms_per_user, limits.members_per_room) = (3, 2, 2)
    });
    let (ann, bob, eve) = (town.user("ann"), town.user("bob"), town.user("eve"));
    let in_two = [town.join(&ann, "a", None), town.join(&ann, "b", None)];
    assert_eq!(town.refusal(&ann, "c", true), Some(Reason::QuotaExceeded));
    assert_eq!(
        town.say(&ann, "c", "text", "").unwrap_err().reason(),
        Reason::QuotaExceeded,
        "made two"
    );
    assert_eq!(town.rooms(), 2);
    let _bobs = town.join(&bob, "a", None);
    assert_eq!(town.refusal(&eve, "a", true), Some(Reason::ServerFull), "two members");
    town.say(&bob, "c", "text", "").unwrap();
    assert_eq!(town.refusal(&ann, "c", true), Some(Reason::QuotaExceeded), "in two");
    assert_eq!(
        town.say(&eve, "d", "text", "").unwrap_err().reason(),
        Reason::ServerFull,
        "three rooms"
    );
    drop(in_two);
    drop(town.join(&ann, "c", None));
    town.clock.advance(Duration::from_millis(600_000));
    town.sweep();
    assert_eq!(town.rooms(), 1, "that in which bob is");
    town.say(&ann, "c", "text", "").unwrap();
}

#[test]
fn all_rooms_together_keep_no_more_than_they_may() {
    const TOTAL: u64 = 64 << 10;
    let mut town = Town::new(|limits| (limits.history_bytes, limits.rooms_per_user) = (TOTAL, 100));
    let ann = town.user("ann");
    let text = "x".repeat(4_096);
    for number in 0..200 {
        town.say(&ann, ["a", "b"][number % 2], &text, &number.to_string()).unwrap();
        assert!(town.history_bytes() <= TOTAL + 16_384, "{}", town.history_bytes());
    }
    // One room more: the others make room at the next sweep.
    for number in 0..200 {
        town.say(&ann, "c", &text, &number.to_string()).unwrap();
        town.rooms.sweep();
    }
    assert!(town.history_bytes() <= TOTAL + 16_384, "{}", town.history_bytes());
    let bob = town.user("bob");
    for room in ["a", "b", "c"] {
        assert!(heard(&mut town.join(&bob, room, None)).len() > 1, "{room} still has a message");
    }
}

#[test]
fn a_user_that_talks_much_has_to_wait() {
    let limits = Limits { chat_messages_per_second: 10, chat_burst: 3, ..Limits::default() };
    let usage = RoomUsage::default();
    let waits: Vec<_> = (0..4).map(|_| usage.rate.check(&limits)).collect();
    assert_eq!(waits[..3], [Ok(()); 3]);
    assert!(waits[3].is_err_and(|wait| wait <= Duration::from_millis(100)));
}
