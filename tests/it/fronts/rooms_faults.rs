//! Rooms shared by several servers, when servers or the engine fail.

use std::time::{Duration, Instant};

use kvrpc::model::Reason;
use rustix::process::Signal;
use tonic::transport::Endpoint;

use super::Fronts;
use super::rooms::rooms;
use crate::chat::talker::Talk;
use crate::chat::{members, send};
use crate::grpc::people::sign_in;
use crate::grpc::raw::Raw;
use crate::harness::{RedisProcess, ServerProcess, eventually, within};

/// Time for which the members of a dead server stay in a room.
const LEASE: Duration = Duration::from_secs(15);

#[tokio::test]
#[ignore = "needs redis-server"]
async fn those_at_a_server_that_is_killed_leave_with_its_lease() {
    let fronts = Fronts::start(1, "").await;
    let url = fronts.redis.url();
    let other = ServerProcess::start(&["--listen", "127.0.0.1:0", "--store", &url]);
    let channel =
        Endpoint::from_shared(format!("http://{}", other.address("grpc"))).unwrap().connect_lazy();
    let ann = sign_in(&fronts.nobody(0), "ann").await;
    let tom = sign_in(&Raw::new(channel), "tom").await;
    let mut one = Talk::join(&ann, "r", None).await;
    assert_eq!(one.hear_all(2).await, ["r: ann", "+ann"]);
    let mut two = Talk::join(&tom, "r", None).await;
    assert_eq!(two.hear_all(2).await, ["r: ann tom", "+tom"]);
    assert_eq!(one.hear().await, "+tom");
    let mut alone = Talk::join(&tom, "empty", None).await;
    alone.hear_all(2).await;
    let killed = Instant::now();
    other.signal(Signal::KILL);
    until(&mut one, "-tom").await;
    let took = killed.elapsed();
    assert!(took > LEASE - Duration::from_secs(4) && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(members(&ann, "r").await.unwrap(), ["ann"]);
    // In a room without other members, one of the servers removes them.
    eventually("it has left the other room", || async { rooms(&ann).await == ["r 1", "empty 0"] })
        .await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn streams_go_on_when_the_engine_comes_back() {
    let mut fronts = Fronts::on(
        RedisProcess::start(&["--appendonly", "yes"]),
        2,
        "[redis]\nanswer-timeout = \"300ms\"\n",
    )
    .await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let mut one = Talk::join(&ann, "r", None).await;
    one.hear_all(2).await;
    let mut two = Talk::join(&tom, "r", None).await;
    two.hear_all(2).await;
    assert_eq!(one.hear().await, "+tom");
    let epoch = one.position.unwrap().epoch;

    fronts.redis.signal(Signal::STOP);
    let refused = eventually_refused(&tom).await;
    assert!(
        [Some(Reason::StoreUnavailable), Some(Reason::OutcomeUnknown)].contains(&refused),
        "{refused:?}"
    );
    fronts.redis.signal(Signal::CONT);
    hear_each_other(&mut one, &mut two, "after a pause").await;

    fronts.redis.signal(Signal::KILL);
    one.say("while it is away", "away").await;
    assert!(one.hear().await.starts_with("rejected away "));
    fronts.redis.revive();
    hear_each_other(&mut one, &mut two, "after a restart").await;
    assert_eq!(one.position.unwrap().epoch, epoch, "it is the room that it was");
    assert_eq!(members(&ann, "r").await.unwrap(), ["ann", "tom"]);
}

async fn eventually_refused(raw: &Raw) -> Option<Reason> {
    loop {
        if let Err(failure) = send(raw, "r", "does it come?", "does it").await {
            return failure.reason;
        }
    }
}

/// Waits until a message of each reaches the other; it is sent again until it is accepted, and
/// other events are skipped.
async fn hear_each_other(one: &mut Talk, two: &mut Talk, text: &str) {
    for (from, to) in [(0, 1), (1, 0)] {
        let both = [&mut *one, &mut *two];
        let id = format!("{text} {from}");
        both[from].say(text, &id).await;
        loop {
            let heard = both[from].hear().await;
            assert_ne!(heard, "gap");
            if heard == format!("ack {id}") {
                break;
            }
            if heard.starts_with(&format!("rejected {id}")) {
                both[from].say(text, &id).await;
            }
        }
        let said = async {
            loop {
                let heard = both[to].hear().await;
                assert_ne!(heard, "gap");
                if heard.ends_with(&format!(": {text}")) {
                    break;
                }
            }
        };
        within(text, said).await;
    }
}

/// Skips events until this one.
async fn until(talk: &mut Talk, wanted: &str) {
    within(wanted, async { while talk.hear().await != wanted {} }).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_room_that_the_engine_lost_goes_on_after_a_gap() {
    let fronts = Fronts::start(2, "").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let mut one = Talk::join(&ann, "r", None).await;
    one.hear_all(2).await;
    let mut two = Talk::join(&tom, "r", None).await;
    two.hear_all(2).await;
    one.hear().await;
    let epoch = one.position.unwrap().epoch;
    let keys = fronts.redis.cli(&["KEYS", "kvrpc:{r:*"]);
    let keys: Vec<&str> = keys.lines().collect();
    assert!(keys.len() >= 6, "{keys:?}");
    fronts.redis.cli(&[&["DEL"], &keys[..]].concat());
    for talk in [&mut one, &mut two] {
        until(talk, "gap").await;
    }
    eventually("both are back", || async {
        members(&ann, "r").await.is_ok_and(|all| all == ["ann", "tom"])
    })
    .await;
    one.say("still here?", "1").await;
    until(&mut two, "ann: still here?").await;
    until(&mut one, "ack 1").await;
    assert_eq!(one.position.unwrap().epoch, two.position.unwrap().epoch);
    assert_ne!(one.position.unwrap().epoch, epoch);
    assert_eq!(rooms(&tom).await, ["r 2"]);

    // Uses some of its events: the state of a node with fewer of them that takes over.
    let before = one.position.unwrap();
    let keys = ["room", "events"]
        .map(|key| (format!("kvrpc:{{r:72}}:{key}"), format!("kvrpc:{{r:72}}:old-{key}")));
    for (key, old) in &keys {
        assert_eq!(fronts.redis.cli(&["COPY", key, old]).trim(), "1");
    }
    one.say("this is lost", "2").await;
    until(&mut one, "ack 2").await;
    until(&mut two, "ann: this is lost").await;
    for (key, old) in &keys {
        fronts.redis.cli(&["RENAME", old, key]);
    }
    for talk in [&mut one, &mut two] {
        until(talk, "gap").await;
    }
    two.say("and now?", "3").await;
    until(&mut one, "tom: and now?").await;
    assert_ne!(one.position.unwrap().epoch, before.epoch);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_too_few_replicas_have_is_not_known_until_it_is_sent_again() {
    let redis = RedisProcess::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = RedisProcess::start(&["--replicaof", &format!("127.0.0.1 {}", redis.port)]);
    eventually("the replica is there", || async {
        redis.cli(&["INFO", "replication"]).contains("state=online")
    })
    .await;
    eventually("it follows", || async {
        replica.cli(&["INFO", "replication"]).contains("link_status:up")
    })
    .await;
    let fronts = Fronts::on(redis, 2, "durability = \"replicated:1\"\n").await;
    let (ann, tom) =
        (sign_in(&fronts.nobody(0), "ann").await, sign_in(&fronts.nobody(1), "tom").await);
    let mut talk = Talk::join(&tom, "r", None).await;
    talk.hear_all(2).await;
    assert_eq!(send(&ann, "r", "held by two", "1").await.unwrap(), 2);
    assert_eq!(talk.hear().await, "ann: held by two");

    replica.signal(Signal::STOP);
    let failure = send(&ann, "r", "held by one", "2").await.unwrap_err();
    assert_eq!(failure.reason, Some(Reason::OutcomeUnknown), "{failure:?}");
    assert!(failure.message.contains("client_message_id"), "{failure:?}");
    talk.say("mine", "3").await;
    // The message may come first: it was posted, and may be lost.
    let heard = talk.hear_all(3).await;
    assert!(heard.contains(&"rejected 3 OUTCOME_UNKNOWN".to_owned()), "{heard:?}");
    let again = send(&fronts.at(&ann, 1), "r", "held by one", "2").await.unwrap_err();
    assert_eq!(
        again.reason,
        Some(Reason::OutcomeUnknown),
        "what is answered again is held to the same"
    );
    replica.signal(Signal::CONT);
    assert_eq!(send(&fronts.at(&ann, 1), "r", "held by one", "2").await.unwrap(), 3);
    talk.say("mine", "3").await;
    assert_eq!(talk.hear().await, "ack 3");
}
