//! Rooms in the Redis engine, on one server and on a cluster, with a clock that the test moves.

use std::time::Duration;

use kvrpc::model::UnixMillis;
use kvrpc::model::{ChatEvent, Participant, Role, User};
use kvrpc::store::redis::rooms::{
    ListEntry, NewRoom, Reservation, RoomKeys, RoomLimits, RoomList, RoomRefusal,
};
use kvrpc::store::redis::{DurabilityLevel, RedisOptions, RedisUrl, UserRecord};
use kvrpc::store::{Clock, RedisEngine, StoreLimits};

use super::redis::on_runtime;
use super::{START, ms};
use crate::harness::{PATIENCE, new_namespace, shared_cluster, shared_redis};

const LIMITS: RoomLimits = RoomLimits {
    idle: Duration::from_secs(600),
    lease: Duration::from_secs(15),
    messages: 3,
    bytes: 1 << 20,
    members: 3,
};
const NEW: NewRoom<'static> = NewRoom { epoch: 7, name: "Tea" };
const HERE: u64 = 1;
const THERE: u64 = u64::MAX;

struct Town {
    engine: RedisEngine,
    clock: Clock,
    room: RoomKeys,
}

/// Does the same on one server and on a cluster.
fn in_towns(check: impl AsyncFn(&Town)) {
    for url in [shared_redis().url(), shared_cluster().url()] {
        let mut options = RedisOptions::new(RedisUrl::parse(&url).unwrap());
        options.durability = DurabilityLevel::Local;
        (options.patience.connect, options.patience.answer) = (PATIENCE, PATIENCE);
        options.namespace = new_namespace();
        let clock = Clock::manual(UnixMillis::new(START));
        let limits = StoreLimits::from(&kvrpc::model::Limits::default());
        let engine = RedisEngine::start(options, clock.clone(), limits).unwrap();
        let room = engine.room_keys("tea");
        on_runtime(check(&Town { engine, clock, room }));
    }
}

fn user(id: u64) -> Participant {
    Participant { id, user: User { name: format!("u{id}"), role: Role::Guest } }
}

impl Town {
    /// Returns the number of members after the join and the position before it, or the refusal.
    async fn join(&self, id: u64, server: u64, number: u64) -> Result<(u32, u64), RoomRefusal> {
        let joined = self
            .engine
            .join_room(&self.room, &user(id), server, number, &LIMITS, Some(NEW))
            .await
            .unwrap();
        joined.map(|joined| (joined.member_count, joined.before))
    }

    async fn say(&self, id: u64, text: &str, message_id: &str) -> Result<u64, RoomRefusal> {
        let mut fingerprint = [0; 16];
        fingerprint.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        let message_id = (!message_id.is_empty()).then_some((message_id, fingerprint));
        let said = self
            .engine
            .publish(&self.room, &user(id), text, message_id, &LIMITS, Some(NEW))
            .await
            .unwrap();
        said.map(|position| position.sequence)
    }

    async fn members(&self) -> Vec<u64> {
        let members = self.engine.room_members(&self.room, 0, 10).await.unwrap().unwrap();
        members.into_iter().map(|(id, _)| id).collect()
    }

    /// Returns the events behind a position, as text.
    async fn events(&self, after: u64) -> Vec<String> {
        let read = self.engine.read_room(&self.room, after, 1_000).await.unwrap();
        let in_words = |event: &ChatEvent| match event {
            ChatEvent::Joined(who) => format!("+{}", who.user.name),
            ChatEvent::Left(who) => format!("-{}", who.user.name),
            ChatEvent::Message { sender, text, .. } => format!("{}{text}", sender.user.name),
        };
        read.events.iter().map(|(_, event)| in_words(event)).collect()
    }

    async fn leave(&self, server: u64, leases: &[u64]) -> Vec<u64> {
        let left = self.engine.leave_room(&self.room, server, leases, &LIMITS).await.unwrap();
        left.into_iter().map(|ListEntry { user, .. }| user).collect()
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_lease_begins_and_ends_once_however_often_that_is_sent() {
    in_towns(async |town| {
        let none = town.engine.join_room(&town.room, &user(1), HERE, 1, &LIMITS, None).await;
        assert_eq!(none.unwrap().unwrap_err(), RoomRefusal::NoRoom);
        // Ids and numbers of all sizes are kept as they are, and in their order.
        let high = u64::MAX - 5;
        assert_eq!(town.join(high, HERE, 1).await, Ok((1, 0)));
        for _ in 0..2 {
            assert_eq!(
                town.join(2, HERE, 2).await,
                Ok((2, 1)),
                "sent again it stands where it stood"
            );
        }
        assert_eq!(
            town.join(2, THERE, 2).await,
            Ok((2, 2)),
            "the same number at another server is another lease"
        );
        assert_eq!(town.members().await, [2, high]);
        assert_eq!(town.join(3, THERE, 3).await, Ok((3, 2)));
        assert_eq!(town.join(4, THERE, 4).await, Err(RoomRefusal::RoomFull));
        assert_eq!(town.leave(HERE, &[2, 2, 99]).await, [0; 0], "it has another lease");
        assert_eq!(town.leave(THERE, &[2]).await, [2]);
        assert_eq!(town.leave(THERE, &[2]).await, [0; 0]);
        let name = format!("u{high}");
        assert_eq!(town.events(0).await, [&format!("+{name}"), "+u2", "+u3", "-u2"]);
        assert_eq!(town.engine.leases(&town.room, HERE).await.unwrap(), [1]);
        assert!(town.engine.is_member(&town.room, 3).await.unwrap());
        assert!(!town.engine.is_member(&town.room, 2).await.unwrap());
        let (view, _) = town.engine.peek_room(&town.room).await.unwrap().unwrap();
        assert_eq!((view.name.as_str(), view.member_count), ("Tea", 2));
    });
}

#[test]
#[ignore = "needs redis-server"]
fn leases_that_are_not_renewed_lapse() {
    in_towns(async |town| {
        for (id, server) in [(1, HERE), (2, THERE), (3, THERE)] {
            town.join(id, server, id).await.unwrap();
        }
        let renew = async |server| {
            town.engine.renew_leases(&town.room, server, &LIMITS).await.unwrap().unwrap()
        };
        let expire = async || town.engine.expire_leases(&town.room, THERE, &LIMITS).await.unwrap();
        town.clock.advance(ms(14_999));
        assert_eq!(renew(HERE).await.lapsed, [0; 0]);
        assert_eq!(expire().await, (0, Vec::new()), "it still has them");
        assert_eq!(town.members().await, [1, 2, 3]);
        town.clock.advance(ms(1));
        let room = renew(HERE).await;
        assert_eq!((room.leases, room.latest, &room.lapsed[..]), (1, 3, &[THERE][..]));
        let (leases, mut left) = expire().await;
        left.sort_by_key(|entry| entry.user);
        assert_eq!(
            (leases, left),
            (0, vec![ListEntry { user: 2, mark: 2 }, ListEntry { user: 3, mark: 3 }])
        );
        assert_eq!(renew(HERE).await.lapsed, [0; 0]);
        // A server that comes back has no leases any more, and joins again.
        assert_eq!(renew(THERE).await.leases, 0);
        assert_eq!(town.join(2, THERE, 2).await, Ok((2, 5)));
        assert_eq!(town.members().await, [1, 2]);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_said_under_an_id_is_remembered_for_a_while() {
    in_towns(async |town| {
        let first = town.say(1, "hello", "a").await.unwrap();
        assert_eq!(town.say(1, "hello", "a").await, Ok(first));
        assert_eq!(town.say(1, "other", "a").await, Err(RoomRefusal::MessageIdReused));
        assert_eq!(town.say(2, "hello", "a").await, Ok(first + 1), "ids are each user's own");
        for number in 0..999 {
            town.say(1, "more", &format!("more {number}")).await.unwrap();
        }
        assert_eq!(town.say(1, "hello", "a").await, Ok(first));
        town.say(1, "one more", "one more").await.unwrap();
        assert_ne!(
            town.say(1, "hello", "a").await,
            Ok(first),
            "only the last 1,000 are remembered"
        );
        let late = town.say(1, "late", "late").await.unwrap();
        town.clock.advance(ms(299_999));
        assert_eq!(town.say(1, "late", "late").await, Ok(late));
        town.clock.advance(ms(1));
        assert_ne!(town.say(1, "late", "late").await, Ok(late), "for 5 minutes");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_room_keeps_what_it_is_to_and_a_little_more() {
    in_towns(async |town| {
        town.join(1, HERE, 1).await.unwrap();
        for number in 0..500 {
            town.say(1, &format!(": {number}"), "").await.unwrap();
            let room = town.engine.renew_leases(&town.room, HERE, &LIMITS).await.unwrap().unwrap();
            let events = town.events(0).await;
            assert_eq!(room.latest - room.history_start, events.len() as u64);
            assert!(events.len() <= 3 + 64, "{}", events.len());
            let last: Vec<_> =
                (number.max(2) - 2..=number).map(|number: u64| format!("u1: {number}")).collect();
            assert!(number < 2 || events.ends_with(&last), "{events:?}");
        }
    });
}

#[test]
#[ignore = "needs redis-server"]
fn names_are_reserved_by_one_and_lists_have_an_end() {
    in_towns(async |town| {
        let engine = &town.engine;
        let reserve = async |name: &str, user| {
            let creator = ListEntry { user, mark: user + 10 };
            engine.reserve_room(name, creator, 2, ms(10_000)).await.unwrap()
        };
        assert_eq!(reserve("tea", 1).await, Ok(Reservation::New));
        assert_eq!(reserve("tea", 2).await, Ok(Reservation::Recent));
        assert_eq!(reserve("a}b{c", 2).await, Ok(Reservation::New));
        assert_eq!(reserve("third", 1).await, Err(RoomRefusal::TooManyRooms));
        let names: Vec<_> =
            engine.rooms_after(0, 10).await.unwrap().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["tea", "a}b{c"]);
        assert_eq!(engine.unregister_room("tea", ms(10_000)).await.unwrap(), None);
        town.clock.advance(ms(10_000));
        assert_eq!(reserve("tea", 2).await, Ok(Reservation::Old));
        assert_eq!(
            engine.unregister_room("tea", ms(10_000)).await.unwrap(),
            Some(ListEntry { user: 1, mark: 11 })
        );
        assert_eq!(reserve("third", 1).await, Ok(Reservation::New));

        let list = async |name, mark, replace| {
            let entry = ListEntry { user: 1, mark };
            engine.add_to_list(RoomList::Joined, name, entry, 2, replace).await.unwrap()
        };
        let remove = async |name, mark| {
            engine.remove_from_list(RoomList::Joined, name, ListEntry { user: 1, mark }).await
        };
        assert_eq!(list("a", 1, true).await, Err(RoomRefusal::NoUser));
        let record = UserRecord { name: "ann".to_owned(), ..UserRecord::default() };
        assert!(engine.enter(1, &record, "", None).await.unwrap());
        let again = engine.enter(1, &record, "", None).await.unwrap();
        assert!(!again, "an id is one user's");
        assert_eq!((list("a", 1, true).await, list("a", 2, true).await), (Ok(true), Ok(false)));
        assert_eq!(list("b", u64::MAX, false).await, Ok(true));
        let Err(RoomRefusal::ListFull(mut all)) = list("c", 4, true).await else {
            panic!("a third was taken")
        };
        all.sort();
        assert_eq!(all, [("a".to_owned(), 2), ("b".to_owned(), u64::MAX)]);
        remove("a", 1).await.unwrap();
        assert!(list("c", 4, true).await.is_err(), "the mark of another lease is there");
        remove("a", 2).await.unwrap();
        assert_eq!(list("c", 4, true).await, Ok(true));
    });
}
