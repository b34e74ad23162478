//! Rooms in the Redis engine, on one server and on a cluster, with a clock that the test moves.

use std::time::Duration;

use kvrpc::model::{Role, UnixMillis, User};
use kvrpc::store::redis::rooms::{
    Claim, Happening, NewRoom, Refusal, RoomKeys, RoomLimits, RoomList, RoomUser, Seat, Struck,
    Vacated,
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

fn user(id: u64) -> RoomUser {
    RoomUser { id, view: User { name: format!("u{id}"), role: Role::Guest } }
}

impl Town {
    /// How many are in the room then, and where it stood before; or why not.
    async fn attend(&self, id: u64, front: u64, number: u64) -> Result<(u32, u64), Refusal> {
        let seat = Seat { front, number };
        let attended =
            self.engine.attend(&self.room, &user(id), seat, &LIMITS, Some(NEW)).await.unwrap();
        attended.map(|attended| (attended.member_count, attended.before))
    }

    async fn say(&self, id: u64, text: &str, message_id: &str) -> Result<u64, Refusal> {
        let mut fingerprint = [0; 16];
        fingerprint.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        let message_id = (!message_id.is_empty()).then_some((message_id, fingerprint));
        let said = self
            .engine
            .say(&self.room, &user(id), text, message_id, &LIMITS, Some(NEW))
            .await
            .unwrap();
        said.map(|position| position.sequence)
    }

    async fn members(&self) -> Vec<u64> {
        let members = self.engine.room_members(&self.room, 0, 10).await.unwrap().unwrap();
        members.into_iter().map(|(id, _)| id).collect()
    }

    /// What happened behind a place, in words.
    async fn events(&self, after: u64) -> Vec<String> {
        let read = self.engine.read_room(&self.room, after, 1_000).await.unwrap();
        let word = |what| match what {
            Happening::Joined => "+",
            Happening::Left => "-",
            Happening::Message => "",
        };
        read.events
            .iter()
            .map(|event| format!("{}{}{}", word(event.what), event.who.view.name, event.text))
            .collect()
    }

    async fn depart(&self, front: u64, seats: &[u64]) -> Vec<u64> {
        let left = self.engine.depart(&self.room, front, seats, &LIMITS).await.unwrap();
        left.into_iter().map(|Vacated { user, .. }| user).collect()
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_seat_is_taken_and_given_up_once_however_often_that_is_sent() {
    in_towns(async |town| {
        let none = town
            .engine
            .attend(&town.room, &user(1), Seat { front: HERE, number: 1 }, &LIMITS, None)
            .await;
        assert_eq!(none.unwrap().unwrap_err(), Refusal::NoRoom);
        // Ids and numbers of all sizes are kept as they are, and in their order.
        let high = u64::MAX - 5;
        assert_eq!(town.attend(high, HERE, 1).await, Ok((1, 0)));
        for _ in 0..2 {
            assert_eq!(
                town.attend(2, HERE, 2).await,
                Ok((2, 1)),
                "sent again it stands where it stood"
            );
        }
        assert_eq!(
            town.attend(2, THERE, 2).await,
            Ok((2, 2)),
            "the same number at another server is another seat"
        );
        assert_eq!(town.members().await, [2, high]);
        assert_eq!(town.attend(3, THERE, 3).await, Ok((3, 2)));
        assert_eq!(town.attend(4, THERE, 4).await, Err(Refusal::Members));
        assert_eq!(town.depart(HERE, &[2, 2, 99]).await, [0; 0], "it has another seat");
        assert_eq!(town.depart(THERE, &[2]).await, [2]);
        assert_eq!(town.depart(THERE, &[2]).await, [0; 0]);
        let name = format!("u{high}");
        assert_eq!(town.events(0).await, [&format!("+{name}"), "+u2", "+u3", "-u2"]);
        assert_eq!(town.engine.seats(&town.room, HERE).await.unwrap(), [1]);
        assert!(town.engine.is_member(&town.room, 3).await.unwrap());
        assert!(!town.engine.is_member(&town.room, 2).await.unwrap());
        let (view, _) = town.engine.glance(&town.room).await.unwrap().unwrap();
        assert_eq!((view.name.as_str(), view.member_count), ("Tea", 2));
    });
}

#[test]
#[ignore = "needs redis-server"]
fn seats_that_nobody_holds_lapse() {
    in_towns(async |town| {
        for (id, front) in [(1, HERE), (2, THERE), (3, THERE)] {
            town.attend(id, front, id).await.unwrap();
        }
        let hold = async |front| {
            town.engine.hold_seats(&town.room, front, &LIMITS).await.unwrap().unwrap()
        };
        let evict = async || town.engine.evict(&town.room, THERE, &LIMITS).await.unwrap();
        town.clock.advance(ms(14_999));
        assert_eq!(hold(HERE).await.lapsed, [0; 0]);
        assert_eq!(evict().await, (0, Vec::new()), "it still has them");
        assert_eq!(town.members().await, [1, 2, 3]);
        town.clock.advance(ms(1));
        let held = hold(HERE).await;
        assert_eq!((held.seats, held.sequence, &held.lapsed[..]), (1, 3, &[THERE][..]));
        let (seats, mut left) = evict().await;
        left.sort_by_key(|vacated| vacated.user);
        assert_eq!(
            (seats, left),
            (0, vec![Vacated { user: 2, seat: 2 }, Vacated { user: 3, seat: 3 }])
        );
        assert_eq!(hold(HERE).await.lapsed, [0; 0]);
        // Who comes back has no seat any more, and takes it again.
        assert_eq!(hold(THERE).await.seats, 0);
        assert_eq!(town.attend(2, THERE, 2).await, Ok((2, 5)));
        assert_eq!(town.members().await, [1, 2]);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_said_under_an_id_is_remembered_for_a_while() {
    in_towns(async |town| {
        let first = town.say(1, "hello", "a").await.unwrap();
        assert_eq!(town.say(1, "hello", "a").await, Ok(first));
        assert_eq!(town.say(1, "other", "a").await, Err(Refusal::Reused));
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
        town.attend(1, HERE, 1).await.unwrap();
        for number in 0..500 {
            town.say(1, &format!(": {number}"), "").await.unwrap();
            let held = town.engine.hold_seats(&town.room, HERE, &LIMITS).await.unwrap().unwrap();
            let events = town.events(0).await;
            assert_eq!(held.sequence - held.from, events.len() as u64);
            assert!(events.len() <= 3 + 64, "{}", events.len());
            let last: Vec<_> =
                (number.max(2) - 2..=number).map(|number: u64| format!("u1: {number}")).collect();
            assert!(number < 2 || events.ends_with(&last), "{events:?}");
        }
    });
}

#[test]
#[ignore = "needs redis-server"]
fn names_are_claimed_by_one_and_lists_have_an_end() {
    in_towns(async |town| {
        let engine = &town.engine;
        let claim = async |name: &str, maker| {
            let claimed =
                engine.claim_room(name, Struck { maker, mark: maker + 10 }, 2, ms(10_000)).await;
            claimed.unwrap()
        };
        assert_eq!(claim("tea", 1).await, Ok(Claim::New));
        assert_eq!(claim("tea", 2).await, Ok(Claim::Known));
        assert_eq!(claim("a}b{c", 2).await, Ok(Claim::New));
        assert_eq!(claim("third", 1).await, Err(Refusal::Rooms));
        let names: Vec<_> =
            engine.rooms_behind(0, 10).await.unwrap().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["tea", "a}b{c"]);
        assert_eq!(engine.strike_room("tea", ms(10_000)).await.unwrap(), None);
        town.clock.advance(ms(10_000));
        assert_eq!(claim("tea", 2).await, Ok(Claim::Old));
        assert_eq!(
            engine.strike_room("tea", ms(10_000)).await.unwrap(),
            Some(Struck { maker: 1, mark: 11 })
        );
        assert_eq!(claim("third", 1).await, Ok(Claim::New));

        let list = async |name, mark, replace| {
            engine.enlist(1, RoomList::Joined, name, mark, 2, replace).await.unwrap()
        };
        assert_eq!(list("a", 1, true).await, Err(Refusal::NoUser));
        let record =
            UserRecord { name: "ann".to_owned(), account: false, standing: 0, grant: None };
        engine.enter(1, &record, None).await.unwrap();
        assert_eq!((list("a", 1, true).await, list("a", 2, true).await), (Ok(true), Ok(false)));
        assert_eq!(list("b", u64::MAX, false).await, Ok(true));
        let Err(Refusal::List(mut all)) = list("c", 4, true).await else {
            panic!("a third was taken")
        };
        all.sort();
        assert_eq!(all, [("a".to_owned(), 2), ("b".to_owned(), u64::MAX)]);
        engine.delist(1, RoomList::Joined, "a", 1).await.unwrap();
        assert!(list("c", 4, true).await.is_err(), "another seat is there");
        engine.delist(1, RoomList::Joined, "a", 2).await.unwrap();
        assert_eq!(list("c", 4, true).await, Ok(true));
    });
}
