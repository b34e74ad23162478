//! Rooms shared by several servers.

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use kvrpc::pb::v1::chat_response::Event;

use super::Fronts;
use crate::chat::talker::{Talk, in_words};
use crate::chat::{members, send};
use crate::grpc::people::{accounts, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::{Server, eventually, new_namespace, shared_cluster, within};

pub(super) async fn rooms(raw: &Raw) -> Vec<String> {
    let request = v1::ListRoomsRequest::default();
    let listed: v1::ListRoomsResponse = raw.call(Method::ListRooms.path(), &request).await.unwrap();
    listed.rooms.into_iter().map(|room| format!("{} {}", room.name, room.member_count)).collect()
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn those_at_two_servers_are_in_one_room() {
    let fronts = Fronts::start(2, "").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    talk_to_each_other(&ann, &tom).await;
    assert_eq!(rooms(&ann).await, ["Lobby 1"]);
    assert_eq!(rooms(&tom).await, ["Lobby 1"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn those_at_two_servers_are_in_one_room_of_a_cluster() {
    let namespace = new_namespace();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let builder =
            Server::builder().flag("--store", shared_cluster().url()).flag("--durability", "local");
        let config = format!("[redis]\nnamespace = \"{namespace}\"\n{}", accounts());
        servers.push(builder.toml(&config).start().await);
    }
    let ann = sign_in(&Raw::new(servers[0].channel()), "ann").await;
    let tom = sign_in(&Raw::new(servers[1].channel()), "tom").await;
    talk_to_each_other(&ann, &tom).await;
}

/// Ann and Tom talk at different servers; Ann stays.
async fn talk_to_each_other(ann: &Raw, tom: &Raw) {
    let mut one = Talk::join(ann, "Lobby", None).await;
    assert_eq!(one.hear_all(2).await, ["Lobby: ann", "+ann"]);
    one.say("first", "1").await;
    assert_eq!(one.hear_all(2).await, ["ann: first", "ack 1"]);
    let mut two = Talk::join(tom, "", None).await;
    assert_eq!(two.hear_all(3).await, ["Lobby: ann tom", "ann: first", "+tom"]);
    two.say("second", "1").await;
    assert_eq!(two.hear_all(2).await, ["tom: second", "ack 1"]);
    assert_eq!(one.hear_all(2).await, ["+tom", "tom: second"]);
    assert_eq!(one.position, two.position, "a place is the same everywhere");
    for user in [ann, tom] {
        assert_eq!(members(user, "lobby").await.unwrap(), ["ann", "tom"]);
    }
    assert_eq!(send(ann, "lobby", "third", "").await.unwrap(), 5);
    assert_eq!(
        (one.hear().await, two.hear().await),
        ("ann: third".to_owned(), "ann: third".to_owned())
    );
    drop(two);
    assert_eq!(one.hear().await, "-tom");
    assert_eq!(members(tom, "lobby").await.unwrap(), ["ann"]);
    drop(one);
    eventually("the last one leaves", || async { members(tom, "lobby").await.unwrap().is_empty() })
        .await;
    let mut one = Talk::join(ann, "lobby", None).await;
    assert_eq!(
        one.hear_all(5).await,
        ["Lobby: ann", "ann: first", "tom: second", "ann: third", "+ann"]
    );
    std::mem::forget(one);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_user_is_one_member_wherever_its_streams_are() {
    let fronts = Fronts::start(2, "").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let mut listens = Talk::join(&tom, "r", None).await;
    assert_eq!(listens.hear_all(2).await, ["r: tom", "+tom"]);
    let here = Talk::join(&ann, "r", None).await;
    assert_eq!(listens.hear().await, "+ann");
    let mut there = Talk::join(&fronts.at(&ann, 1), "r", None).await;
    there.hear().await;
    drop(here);
    // The server notices the lost stream at some time. No leave is reported, since ann has another
    // stream.
    send(&ann, "r", "still here", "").await.unwrap();
    assert_eq!(listens.hear().await, "ann: still here");
    drop(there);
    assert_eq!(listens.hear().await, "-ann");
}

/// A reader goes from server to server while two others talk at both.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn who_goes_on_at_another_server_misses_nothing_and_doubles_nothing() {
    const MESSAGES: usize = 300;
    let fronts = Fronts::start(2, "").await;
    let reader = sign_in(&fronts.nobody(0), "reader").await;
    let mut talkers = Vec::new();
    for (at, user) in ["ann", "tom"].into_iter().enumerate() {
        let raw = sign_in(&fronts.nobody(at), user).await;
        talkers.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                send(&raw, "r", &number.to_string(), &number.to_string()).await.unwrap();
            }
        }));
    }
    let (mut after, mut heard, mut places) = (None, Vec::new(), Vec::new());
    let mut streams = 0;
    while heard.len() < 2 * MESSAGES {
        let mut talk = Talk::join(&fronts.at(&reader, streams % 2), "r", after).await;
        assert!(talk.hear().await.starts_with("r: "));
        // Reads some events, each time a few more.
        for _ in 0..10 + 3 * streams {
            let response = talk.try_next().await.unwrap().unwrap();
            let event = response.event.unwrap();
            assert!(!matches!(event, Event::Gap(_)));
            if matches!(event, Event::Message(_)) {
                heard.push(in_words(&event));
            }
            places.push(response.position.unwrap().sequence);
            if heard.len() == 2 * MESSAGES {
                break;
            }
        }
        after = talk.position;
        streams += 1;
    }
    assert!(streams > 5, "{streams}");
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "{places:?}");
    for user in ["ann", "tom"] {
        let own: Vec<_> = heard.iter().filter(|text| text.starts_with(user)).cloned().collect();
        let all: Vec<_> = (0..MESSAGES).map(|number| format!("{user}: {number}")).collect();
        assert_eq!(own, all);
    }
    for talker in talkers {
        talker.await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_message_that_is_sent_at_two_servers_is_said_once() {
    let fronts = Fronts::start(2, "").await;
    let here = sign_in(&fronts.nobody(0), "ann").await;
    let there = fronts.at(&here, 1);
    let first = send(&here, "r", "hello", "id").await.unwrap();
    assert_eq!(send(&there, "r", "hello", "id").await.unwrap(), first);
    let refused = send(&there, "R", "other", "id").await.unwrap_err();
    assert_eq!(refused.reason, Some(Reason::RequestIdReused));
    let tom = sign_in(&fronts.nobody(1), "tom").await;
    let second = send(&tom, "r", "hello", "id").await.unwrap();
    assert_eq!(second, first + 1, "ids are each user's own");
    let mut talk = Talk::join(&there, "r", None).await;
    talk.hear_all(4).await;
    talk.say("hello", "id").await;
    assert_eq!(talk.hear().await, "ack id");
    // Of many at once, one is posted.
    let sends = (0..20).map(|number| {
        let raw = fronts.at(&here, number % 2);
        async move { send(&raw, "r", "at once", "many").await.unwrap() }
    });
    let places = futures_util::future::join_all(sends).await;
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(talk.hear().await, "ann: at once");
    send(&tom, "r", "last", "").await.unwrap();
    assert_eq!(talk.hear().await, "tom: last");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn limits_hold_at_all_servers_together() {
    let fronts =
        Fronts::start(2, "[limits]\nrooms = 3\nrooms-per-user = 2\nmembers-per-room = 2\n").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let eve = sign_in(&fronts.nobody(1), "eve").await;
    let there = fronts.at(&ann, 1);
    let mut streams = Vec::new();
    for (raw, room) in [(&ann, "a"), (&there, "b"), (&tom, "a")] {
        let mut talk = Talk::join(raw, room, None).await;
        talk.hear().await;
        streams.push(talk);
    }
    let refused = |raw: Raw, room: &'static str| async move {
        let mut talk = Talk::join(&raw, room, None).await;
        within("it is refused", talk.end()).await.1.unwrap_err().reason
    };
    assert_eq!(refused(fronts.at(&eve, 0), "a").await, Some(Reason::ServerFull), "two members");
    assert_eq!(refused(there.clone(), "c").await, Some(Reason::QuotaExceeded), "in two");
    assert_eq!(
        send(&there, "c", "text", "").await.unwrap_err().reason,
        Some(Reason::QuotaExceeded),
        "made two"
    );
    send(&tom, "c", "text", "").await.unwrap();
    assert_eq!(
        send(&eve, "d", "text", "").await.unwrap_err().reason,
        Some(Reason::ServerFull),
        "three rooms"
    );
    assert_eq!(rooms(&eve).await, ["a 2", "b 1", "c 0"], "a refusal changes nothing");
    // A user that leaves one room may join another.
    drop(streams.remove(1));
    eventually("it has left", || async { members(&tom, "b").await.unwrap().is_empty() }).await;
    let mut talk = Talk::join(&there, "c", None).await;
    assert_eq!(talk.hear_all(3).await, ["c: ann", "tom: text", "+ann"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_room_ends_everywhere_some_time_after_its_last_use() {
    let fronts = Fronts::start(2, "[limits]\nroom-idle = \"400ms\"\nrooms-per-user = 1\n").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let mut talk = Talk::join(&ann, "r", None).await;
    talk.hear_all(2).await;
    talk.say("hello", "1").await;
    talk.hear_all(2).await;
    let before = talk.position.unwrap();
    let used = std::time::Instant::now();
    eventually("it is unused for longer than it lives unused", || async {
        used.elapsed().as_millis() > 600
    })
    .await;
    assert_eq!(rooms(&tom).await, ["r 1"], "a room with a member stays");
    drop(talk);
    let gone = |raw: &Raw| {
        let raw = raw.clone();
        async move {
            members(&raw, "r")
                .await
                .is_err_and(|failure| failure.reason == Some(Reason::RoomNotFound))
        }
    };
    eventually("it ends", || gone(&tom)).await;
    assert!(gone(&ann).await && rooms(&ann).await.is_empty());
    // A new room of the same name is another room. Ann made none of the existing ones, so she may
    // make one.
    let mut other = Talk::join(&tom, "r", Some(before)).await;
    assert_eq!(other.hear_all(3).await, ["r: tom", "gap", "+tom"]);
    assert_ne!(other.position.unwrap().epoch, before.epoch);
    send(&ann, "s", "hello", "1").await.unwrap();
    assert_eq!(
        send(&ann, "t", "hello", "2").await.unwrap_err().reason,
        Some(Reason::QuotaExceeded)
    );
}
