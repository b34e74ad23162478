//! Writes to another user's store: listed, done once, and in two round trips.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{get, put, reason};
use crate::grpc::people::{accounts, auth, sign_in};
use crate::grpc::raw::{Failure, Raw};
use crate::harness::{RedisProcess, Server};

/// Delay that a relay adds to each request to the engine.
const FAR: Duration = Duration::from_millis(250);

/// Forwards connections; the bytes to the engine are delayed as set, with any number of chunks in
/// flight.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, delay) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
    let millis = Arc::clone(&delay);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (send, mut late) = mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(1_024);
            let millis = Arc::clone(&millis);
            tokio::spawn(async move {
                let mut chunk = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                    let due = tokio::time::Instant::now()
                        + Duration::from_millis(millis.load(Ordering::Relaxed));
                    send.send((due, chunk[..read].to_vec())).await.unwrap();
                }
            });
            tokio::spawn(async move {
                while let Some((due, chunk)) = late.recv().await {
                    tokio::time::sleep_until(due).await;
                    to_server.write_all(&chunk).await.unwrap();
                }
            });
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        }
    });
    (address, delay)
}

async fn put_other(
    client: &Raw,
    user: &str,
    value: &str,
    if_revision: Option<u64>,
    id: &str,
) -> Result<u64, Failure> {
    let request = v1::PutOtherRequest {
        user: user.to_owned(),
        key: "k".to_owned(),
        data: Some(v1::put_other_request::Data::Value(value.to_owned())),
        if_revision,
        request_id: id.to_owned(),
        ..Default::default()
    };
    let done: v1::PutOtherResponse = client.call(Method::PutOther.path(), &request).await?;
    Ok(done.revision)
}

/// Returns the count of each access in the owner's list.
async fn accesses(owner: &Raw) -> Vec<(String, u64)> {
    let listed: v1::ListAccessesResponse =
        owner.call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default()).await.unwrap();
    listed.accesses.into_iter().map(|access| (access.method, access.count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_write_to_another_is_two_round_trips_with_a_request_id_or_without() {
    let redis = RedisProcess::start(&[]);
    let (address, delay) = relay(([127, 0, 0, 1], redis.port).into()).await;
    let server = Server::builder()
        .flag("--store", format!("redis://{address}"))
        .toml(&accounts())
        .start()
        .await;
    let nobody = Raw::new(server.channel());
    let (adam, eve) = (auth(&nobody, "adam", "bill").await.unwrap(), sign_in(&nobody, "eve").await);
    put(&eve, "k", "0").await.unwrap();
    put_other(&adam, "eve", "1", None, "").await.unwrap();
    for (id, want) in [("", 3), ("first", 4), ("second", 5)] {
        // This read refreshes the cached session.
        get(&adam, "none").await.unwrap_err();
        delay.store(u64::try_from(FAR.as_millis()).unwrap(), Ordering::Relaxed);
        let begun = Instant::now();
        let revision = put_other(&adam, "eve", "2", None, id).await.unwrap();
        let took = begun.elapsed();
        delay.store(0, Ordering::Relaxed);
        assert_eq!(revision, want);
        assert!(took >= 2 * FAR && took < 3 * FAR, "{id:?}: {took:?}, and one way is {FAR:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_write_to_another_is_on_record_and_done_once() {
    let fronts = super::Fronts::start(2, "").await;
    let adam = auth(&fronts.nobody(0), "adam", "bill").await.unwrap();
    let there = fronts.at(&adam, 1);
    let eve = sign_in(&fronts.nobody(0), "eve").await;
    assert_eq!(put_other(&adam, "eve", "1", None, "a").await.unwrap(), 1);
    assert_eq!(
        put_other(&there, "Eve", "1", None, "a").await.unwrap(),
        1,
        "at another server, in other letters"
    );
    assert_eq!(
        reason(put_other(&adam, "eve", "2", None, "a").await),
        Some(Reason::RequestIdReused)
    );
    assert_eq!(accesses(&eve).await, [("PutOther".to_owned(), 2)]);
    // Failures are not stored under their id, and are listed if there was an owner.
    assert_eq!(
        reason(put_other(&adam, "eve", "2", Some(9), "b").await),
        Some(Reason::RevisionMismatch)
    );
    assert_eq!(
        reason(put_other(&adam, "nobody", "2", None, "b").await),
        Some(Reason::UserNotFound)
    );
    assert_eq!(put_other(&adam, "eve", "3", Some(1), "b").await.unwrap(), 2);
    assert_eq!(
        reason(put_other(&there, "eve", "3", None, "b").await),
        Some(Reason::RequestIdReused)
    );
    assert_eq!(get(&eve, "k").await.unwrap(), "3");
    assert_eq!(accesses(&eve).await, [("PutOther".to_owned(), 4)]);
    // The caller's own writes have the same ids.
    let data = Some(v1::put_request::Data::Value("1".to_owned()));
    let own = v1::PutRequest {
        key: "k".to_owned(),
        data,
        request_id: "a".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        reason(adam.call::<_, v1::PutResponse>(Method::Put.path(), &own).await),
        Some(Reason::RequestIdReused)
    );

    let _: v1::SignOutResponse =
        eve.call(Method::SignOut.path(), &v1::SignOutRequest {}).await.unwrap();
    assert_eq!(reason(put_other(&adam, "eve", "1", None, "a").await), Some(Reason::UserNotFound));
    put_other(&adam, "bob", "1", None, "c").await.unwrap();
    let eve = sign_in(&fronts.nobody(1), "eve").await;
    assert_eq!(put_other(&adam, "eve", "4", None, "d").await.unwrap(), 1);
    let _: v1::SignOutResponse =
        eve.call(Method::SignOut.path(), &v1::SignOutRequest {}).await.unwrap();
    let eve = sign_in(&fronts.nobody(0), "eve").await;
    assert_eq!(
        reason(put_other(&adam, "eve", "4", None, "d").await),
        Some(Reason::RequestIdReused),
        "it was used for another user of that name"
    );
    assert_eq!(reason(get(&eve, "k").await), Some(Reason::KeyNotFound));
}
