//! The ends of streams.

use std::time::Duration;

use kvrpc::listen::Drained;
use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use kvrpc::pb::v1::chat_request::Request;
use tonic::Code;

use super::talker::{Talk, in_words};
use super::{members, send};
use crate::grpc::people::{People, Who, sign_in};
use crate::grpc::raw::Raw;
use crate::harness::{Server, eventually};

async fn ends_with(mut talk: Talk, reason: Reason) {
    let started = std::time::Instant::now();
    let (last, end) = talk.end().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let failure = end.unwrap_err();
    assert_eq!((failure.code, failure.reason), (kvrpc::pb::code(reason), Some(reason)));
    assert_eq!(last.as_ref().map(in_words), Some(format!("closing {}", reason.as_str())));
}

#[tokio::test]
async fn a_session_that_ends_takes_its_streams_along() {
    let people = People::start().await;
    let (guest, other) = (people.client(Who::Guest), people.client(Who::Other));
    let mut talk = Talk::join(guest, "r", None).await;
    talk.hear().await;
    guest
        .call::<_, v1::SignOutResponse>(Method::SignOut.path(), &v1::SignOutRequest {})
        .await
        .unwrap();
    ends_with(talk, Reason::SessionExpired).await;
    eventually("it has left", || async { members(other, "r").await.unwrap().is_empty() }).await;

    let mut talk = Talk::join(other, "r", None).await;
    talk.hear().await;
    let downgrade = v1::DowngradeRequest { user: "other".to_owned(), end_sessions: true };
    let manager = people.client(Who::Manager);
    manager.call::<_, v1::DowngradeResponse>(Method::Downgrade.path(), &downgrade).await.unwrap();
    ends_with(talk, Reason::SessionExpired).await;
}

#[tokio::test]
async fn an_open_stream_keeps_its_session() {
    let people = People::with("[limits]\nguest-idle = \"200ms\"\nheartbeat = \"100ms\"\n").await;
    let ann = sign_in(people.client(Who::Nobody), "ann").await;
    let mut talk = Talk::join(&ann, "r", None).await;
    talk.hear_all(2).await;
    // Ten heartbeats take five times as long as an unused session lives.
    for _ in 0..10 {
        assert_eq!(in_words(&talk.next().await), "heartbeat");
    }
    talk.say("here", "").await;
    assert_eq!(talk.hear().await, "ann: here");
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_who_comes_back_misses_nothing() {
    let mut server = Server::start().await;
    let ann = sign_in(&Raw::new(server.channel()), "ann").await;
    let mut talk = Talk::join(&ann, "", None).await;
    talk.hear_all(2).await;
    server.begin_drain();
    ends_with(talk, Reason::Draining).await;
    assert_eq!(server.drain().await, Drained::Clean);
}

#[tokio::test]
async fn an_old_connection_ends_its_streams_and_the_next_one_goes_on() {
    let people =
        People::with("[limits]\nconnection-age = \"300ms\"\nclosing-notice = \"50ms\"\n").await;
    let (guest, other) = (people.client(Who::Guest), people.client(Who::Other));
    let (mut sent, mut heard, mut streams) = (0, Vec::new(), 0);
    let mut after = None;
    while streams < 3 {
        let mut talk = Talk::join(guest, "r", after).await;
        loop {
            match talk.try_next().await {
                Ok(Some(response)) => {
                    if let Some(v1::chat_response::Event::Message(message)) = response.event {
                        heard.push(message.text.parse::<u32>().unwrap());
                    }
                    // One more for each response, so that some fall between two streams.
                    let number = sent.to_string();
                    if send(other, "r", &number, &number).await.is_ok() {
                        sent += 1;
                    }
                }
                Ok(None) => panic!("the stream ended well"),
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    break;
                }
            }
        }
        after = talk.position;
        streams += 1;
    }
    let mut talk = Talk::join(guest, "r", after).await;
    while heard.len() < sent as usize {
        if let v1::chat_response::Event::Message(message) = talk.next().await {
            heard.push(message.text.parse().unwrap());
        }
    }
    assert_eq!(heard, (0..sent).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_stream_has_to_join_first_and_soon() {
    let people = People::with("[limits]\ncall-timeout = \"100ms\"\n").await;
    let guest = people.client(Who::Guest);
    let mut talk = Talk::open(guest).await;
    talk.request(Request::Message(v1::ChatMessage {
        text: "hello".to_owned(),
        ..Default::default()
    }))
    .await;
    let (last, end) = talk.end().await;
    assert_eq!((last, end.unwrap_err().reason), (None, Some(Reason::InvalidMessage)));
    let mut silent = Talk::open(guest).await;
    assert_eq!(silent.end().await.1.unwrap_err().reason, Some(Reason::Deadline));
}
