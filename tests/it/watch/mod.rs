//! Watches of a store's changes.

mod library;
mod random;

use std::time::Duration;

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::watch_response::Event;
use tonic::Streaming;

use crate::grpc::people::{People, Who};
use crate::grpc::raw::{Failure, Raw};
use crate::harness::within;

pub(crate) struct Watch {
    responses: Streaming<v1::WatchResponse>,
    /// Highest position seen.
    pub(crate) position: Option<v1::Position>,
}

impl Watch {
    pub(crate) async fn open(raw: &Raw, request: v1::WatchRequest) -> Result<Self, Failure> {
        let mut client = KeyValueServiceClient::new(raw.channel.clone());
        let responses =
            within("the stream opens", client.watch(raw.request(request))).await?.into_inner();
        Ok(Self { responses, position: None })
    }

    pub(crate) async fn own(raw: &Raw, prefix: &str, after: Option<v1::Position>) -> Self {
        let request = v1::WatchRequest { prefix: prefix.to_owned(), after, ..Default::default() };
        Self::open(raw, request).await.unwrap()
    }

    pub(crate) async fn try_next(&mut self) -> Result<Event, Failure> {
        let response = within("a response comes", self.responses.message())
            .await?
            .expect("a watch has no end");
        self.position = response.position;
        Ok(response.event.unwrap())
    }

    /// Returns the next events as text, each with its sequence.
    pub(crate) async fn see(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..count {
            let event = in_words(&self.try_next().await.unwrap());
            seen.push(format!("{} {event}", self.position.unwrap().sequence));
        }
        seen
    }

    /// Returns the last event before the end of the stream, and its failure.
    async fn end(&mut self) -> (Option<String>, Failure) {
        let started = std::time::Instant::now();
        let mut last = None;
        loop {
            match self.try_next().await {
                Ok(event) => last = Some(in_words(&event)),
                Err(failure) => {
                    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
                    return (last, failure);
                }
            }
        }
    }
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Put(put) => match put.data.as_ref().unwrap() {
            v1::watch_put::Data::Value(text) => format!("{}={text}", put.key),
            v1::watch_put::Data::Blob(blob) => format!("{}=<{}>", put.key, blob.len()),
        },
        Event::Delete(delete) if delete.expired => format!("expired {}", delete.key),
        Event::Delete(delete) => format!("deleted {}", delete.key),
        Event::Gap(_) => "gap".to_owned(),
        Event::Heartbeat(_) => "heartbeat".to_owned(),
        Event::Closing(closing) => format!("closing {}", closing.reason),
    }
}

pub(crate) async fn put(raw: &Raw, key: &str, value: &str, ttl_millis: Option<i32>) {
    let ttl =
        ttl_millis.map(|millis| prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 });
    let request = v1::PutRequest {
        key: key.to_owned(),
        data: Some(v1::put_request::Data::Value(value.to_owned())),
        expiry: ttl.map(v1::put_request::Expiry::Ttl),
        ..Default::default()
    };
    raw.call::<_, v1::PutResponse>(Method::Put.path(), &request).await.unwrap();
}

pub(crate) async fn delete(raw: &Raw, key: &str) {
    let request = v1::DeleteRequest { key: key.to_owned(), ..Default::default() };
    raw.call::<_, v1::DeleteResponse>(Method::Delete.path(), &request).await.unwrap();
}

async fn listed_at(raw: &Raw) -> Option<v1::Position> {
    let listed: v1::ListKeysResponse =
        raw.call(Method::ListKeys.path(), &v1::ListKeysRequest::default()).await.unwrap();
    listed.position
}

#[tokio::test]
async fn changes_come_in_order_with_the_stores_revision() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    put(guest, "before", "1", None).await;
    let mut all = Watch::own(guest, "", None).await;
    let mut some = Watch::own(guest, "b", None).await;
    assert_eq!(
        (all.see(1).await, some.see(1).await),
        (vec!["1 heartbeat".to_owned()], vec!["1 heartbeat".to_owned()])
    );
    put(guest, "a", "1", None).await;
    put(guest, "b", "2", Some(50)).await;
    delete(guest, "a").await;
    delete(guest, "a").await;
    assert_eq!(all.see(4).await, ["2 a=1", "3 b=2", "4 deleted a", "5 expired b"]);
    assert_eq!(some.see(2).await, ["3 b=2", "5 expired b"]);
    let operation = |operation| v1::Operation { operation: Some(operation) };
    let put = |key: &str| {
        let data = Some(v1::put_operation::Data::Blob(vec![0, 1, 2].into()));
        operation(v1::operation::Operation::Put(v1::PutOperation {
            key: key.to_owned(),
            data,
            ..Default::default()
        }))
    };
    let delete = operation(v1::operation::Operation::Delete(v1::DeleteOperation {
        key: "no such".to_owned(),
        if_revision: Some(9),
    }));
    let half = v1::BatchRequest { operations: vec![put("c"), delete], ..Default::default() };
    guest.call::<_, v1::BatchResponse>(Method::Batch.path(), &half).await.unwrap_err();
    let whole = v1::BatchRequest { operations: vec![put("d"), put("bd")], ..Default::default() };
    guest.call::<_, v1::BatchResponse>(Method::Batch.path(), &whole).await.unwrap();
    assert_eq!(all.see(2).await, ["6 d=<3>", "7 bd=<3>"], "nothing of a batch that failed");
    assert_eq!(some.see(1).await, ["7 bd=<3>"]);
}

#[tokio::test]
async fn a_watch_behind_a_listing_misses_nothing_and_says_so_where_it_does() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    put(guest, "a", "1", None).await;
    let unknown = v1::Position { epoch: listed_at(guest).await.unwrap().epoch, sequence: 0 };
    let position = listed_at(guest).await;
    put(guest, "a", "2", None).await;
    put(guest, "b", "3", None).await;
    assert_eq!(
        Watch::own(guest, "", position).await.see(3).await,
        ["1 heartbeat", "2 a=2", "3 b=3"]
    );
    assert_eq!(
        Watch::own(guest, "", Some(unknown)).await.see(3).await,
        ["1 gap", "2 a=2", "3 b=3"]
    );
    let mut future = position.unwrap();
    future.sequence = 99;
    assert_eq!(Watch::own(guest, "", Some(future)).await.see(1).await, ["3 gap"]);
    let mut stranger = Watch::own(people.client(Who::Other), "", position).await;
    assert_eq!(stranger.see(1).await, ["0 gap"], "the position of another store");
}

#[tokio::test]
async fn a_manager_may_watch_others_as_long_as_it_is_one() {
    let people = People::start().await;
    let (nobody, other) = (people.client(Who::Nobody), people.client(Who::Other));
    let manager = people.client(Who::Manager);
    let second = crate::grpc::people::sign_in(nobody, "second").await;
    let upgrade = v1::UpgradeRequest { user: "second".to_owned() };
    manager.call::<_, v1::UpgradeResponse>(Method::Upgrade.path(), &upgrade).await.unwrap();
    let request =
        || v1::WatchRequest { user: "other".to_owned(), prefix: "a".to_owned(), after: None };
    let mut watch = Watch::open(&second, request()).await.unwrap();
    let mut stays = Watch::open(manager, request()).await.unwrap();
    put(other, "a", "1", None).await;
    assert_eq!(watch.see(2).await, ["0 heartbeat", "1 a=1"]);
    assert_eq!(stays.see(2).await, ["0 heartbeat", "1 a=1"]);
    let accesses: v1::ListAccessesResponse =
        other.call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default()).await.unwrap();
    let rows: Vec<_> =
        accesses.accesses.iter().map(|row| (&row.method[..], &row.key[..], row.count)).collect();
    assert_eq!(rows, [("Watch", "a", 1), ("Watch", "a", 1)]);

    let downgrade = v1::DowngradeRequest { user: "second".to_owned(), end_sessions: false };
    manager.call::<_, v1::DowngradeResponse>(Method::Downgrade.path(), &downgrade).await.unwrap();
    let (last, failure) = watch.end().await;
    assert_eq!(
        (last.as_deref(), failure.reason),
        (Some("closing MANAGER_REQUIRED"), Some(Reason::ManagerRequired))
    );

    other
        .call::<_, v1::SignOutResponse>(Method::SignOut.path(), &v1::SignOutRequest {})
        .await
        .unwrap();
    // A user that takes the name again is another user, with another store.
    crate::grpc::people::sign_in(nobody, "other").await;
    let (last, failure) = stays.end().await;
    assert_eq!(
        (last.as_deref(), failure.reason),
        (Some("closing USER_NOT_FOUND"), Some(Reason::UserNotFound))
    );
}

#[tokio::test]
async fn a_watch_ends_with_its_session() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    let mut watch = Watch::own(guest, "", None).await;
    guest
        .call::<_, v1::SignOutResponse>(Method::SignOut.path(), &v1::SignOutRequest {})
        .await
        .unwrap();
    let (last, failure) = watch.end().await;
    assert_eq!(
        (last.as_deref(), failure.reason),
        (Some("closing SESSION_EXPIRED"), Some(Reason::SessionExpired))
    );
}

#[tokio::test]
async fn a_large_value_passes_through_a_watch() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    let mut watch = Watch::own(guest, "", None).await;
    put(guest, "large", &"x".repeat(1 << 20), None).await;
    let seen = watch.see(2).await;
    assert_eq!(
        (seen[1].len(), watch.position.unwrap().sequence),
        ("1 large=".len() + (1 << 20), 1)
    );
}
