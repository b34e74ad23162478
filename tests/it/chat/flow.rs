//! History, resuming, slow readers, and users over the rate limit.

use kvrpc::model::Reason;
use kvrpc::pb::v1::chat_response::Event;
use tonic::transport::Endpoint;

use super::send;
use super::talker::{Talk, in_words};
use crate::grpc::people::{People, Who};
use crate::grpc::raw::Raw;

#[tokio::test]
async fn who_joins_gets_the_history_and_who_comes_back_what_it_missed() {
    let people = People::with("[limits]\nroom-history = 3\n").await;
    let (guest, other) = (people.client(Who::Guest), people.client(Who::Other));
    for text in ["1", "2", "3", "4"] {
        send(other, "r", text, "").await.unwrap();
    }
    let mut ann = Talk::join(guest, "r", None).await;
    assert_eq!(ann.hear_all(5).await, ["r: guest", "other: 2", "other: 3", "other: 4", "+guest"]);
    let after = ann.position;
    drop(ann);
    send(other, "r", "5", "").await.unwrap();
    let mut ann = Talk::join(guest, "r", after).await;
    let welcome = ann.try_next().await.unwrap().unwrap();
    assert_eq!(welcome.position, after, "a stream stands where it goes on");
    let mut heard = ann.hear_all(3).await;
    // The dropped stream's leave may come before or after the message.
    heard.sort();
    assert_eq!(heard, ["+guest", "-guest", "other: 5"]);
    for text in ["6", "7", "8", "9"] {
        send(other, "r", text, "").await.unwrap();
    }
    let mut ann = Talk::join(guest, "r", after).await;
    assert_eq!(ann.hear_all(3).await[1..], ["gap", "other: 7"]);
    let mut elsewhere = after.unwrap();
    elsewhere.epoch ^= 1;
    let mut ann = Talk::join(guest, "r", Some(elsewhere)).await;
    assert_eq!(ann.hear_all(3).await[1..], ["gap", "other: 7"]);
}

/// A stream that is not read gets a gap and does not affect the others: the server keeps the room's
/// history and one buffer for that stream.
#[tokio::test]
async fn a_slow_reader_is_told_and_delays_nobody() {
    const MESSAGES: usize = 900;
    let people = People::with("[limits]\nroom-history = 20\n").await;
    // A separate connection with small windows.
    let endpoint = Endpoint::from_shared(format!("http://{}", people.server.grpc())).unwrap();
    let endpoint =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let slow = Raw { channel: endpoint.connect_lazy(), ..people.client(Who::Other).clone() };
    let mut slow = Talk::join(&slow, "r", None).await;
    slow.hear().await;
    let mut quick = Talk::join(people.client(Who::Guest), "r", None).await;
    assert_eq!(quick.hear_all(2).await, ["r: guest other", "+guest"]);
    let text = "x".repeat(1_000);
    for number in 0..MESSAGES {
        send(people.client(Who::Manager), "r", &format!("{number} {text}"), "").await.unwrap();
        assert_eq!(
            quick.hear().await,
            format!("adam: {number} {text}"),
            "the quick one misses nothing"
        );
    }
    let (mut seen, mut gaps) = (Vec::new(), 0);
    while seen.last() != Some(&(MESSAGES - 1)) {
        let response = slow.try_next().await.unwrap().unwrap();
        let event = response.event.unwrap();
        gaps += usize::from(matches!(event, Event::Gap(_)));
        if let Event::Message(message) = event {
            seen.push(message.text.split_once(' ').unwrap().0.parse().unwrap());
        }
    }
    assert_eq!(gaps, 1);
    assert!(seen.len() < MESSAGES / 2, "{} messages were kept for it", seen.len());
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen[seen.len() - 20..], (MESSAGES - 20..MESSAGES).collect::<Vec<_>>()[..]);
}

#[tokio::test]
async fn who_talks_too_much_is_not_read() {
    let people = People::with("[limits]\nchat-burst = 3\nchat-messages-per-second = 20\n").await;
    let guest = people.client(Who::Guest);
    let mut ann = Talk::join(guest, "", None).await;
    ann.hear_all(2).await;
    let started = std::time::Instant::now();
    for number in 0..8 {
        ann.say("text", &number.to_string()).await;
    }
    for number in 0..8 {
        assert_eq!(ann.hear_all(2).await, ["guest: text".to_owned(), format!("ack {number}")]);
    }
    // Five more than the burst of three, 50 ms each; none was refused.
    assert!(started.elapsed().as_millis() >= 200, "{:?}", started.elapsed());
    let refused = loop {
        if let Err(refused) = send(guest, "", "text", "").await {
            break refused;
        }
    };
    assert_eq!(refused.reason, Some(Reason::RateLimited));
}

#[tokio::test]
async fn a_quiet_stream_has_heartbeats() {
    let people = People::with("[limits]\nheartbeat = \"20ms\"\n").await;
    let mut ann = Talk::join(people.client(Who::Guest), "", None).await;
    ann.hear_all(2).await;
    for _ in 0..3 {
        let beat = ann.try_next().await.unwrap().unwrap();
        assert_eq!(
            (in_words(&beat.event.unwrap()).as_str(), beat.position),
            ("heartbeat", ann.position)
        );
    }
}
