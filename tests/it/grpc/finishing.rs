//! Calls with an end while their connection or their server has none.

use kvrpc::listen::Drained;
use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use tonic::{Code, Streaming};

use super::people::{auth, sign_in};
use super::raw::Raw;
use crate::harness::{Builder, RedisProcess, Server, new_namespace, within};

/// Number of entries: more than the windows of a client that does not read have room for.
const ENTRIES: usize = 300;

/// Starts a server with a user, whose store has entries of 32 KiB.
async fn filled(builder: Builder) -> (Server, Raw) {
    let server = builder.start().await;
    let user = sign_in(&Raw::new(server.channel()), "user").await;
    let mut client = KeyValueServiceClient::new(user.channel.clone());
    for number in 0..ENTRIES {
        let data = Some(v1::put_request::Data::Value("v".repeat(32 << 10)));
        let put = v1::PutRequest { key: format!("k{number:03}"), data, ..Default::default() };
        // A connection of little age may end meanwhile.
        within("the put", async { while client.put(user.request(put.clone())).await.is_err() {} })
            .await;
    }
    (server, user)
}

async fn scan(user: &Raw, page_token: String) -> Streaming<v1::ScanResponse> {
    let mut client = KeyValueServiceClient::new(user.channel.clone());
    let request = v1::ScanRequest { page_token, ..Default::default() };
    within("the scan begins", client.scan(user.request(request))).await.unwrap().into_inner()
}

/// Returns the first entries of a scan and its token.
async fn first(scan: &mut Streaming<v1::ScanResponse>) -> (Vec<String>, String) {
    let response = within("a message", scan.message()).await.unwrap().unwrap();
    (response.entries.into_iter().map(|entry| entry.key).collect(), response.next_page_token)
}

/// Adds the rest of a scan, and returns its last token.
async fn rest(scan: &mut Streaming<v1::ScanResponse>, keys: &mut Vec<String>) -> String {
    let mut last = None;
    while let Some(response) = within("a message", scan.message()).await.unwrap() {
        keys.extend(response.entries.into_iter().map(|entry| entry.key));
        last = Some(response.next_page_token);
    }
    last.unwrap()
}

fn assert_all(mut keys: Vec<String>) {
    keys.sort();
    assert_eq!(keys, (0..ENTRIES).map(|n| format!("k{n:03}")).collect::<Vec<_>>());
}

/// Reads a watch to its end, and returns the sentence of its status.
async fn end_of_watch(mut watch: Streaming<v1::WatchResponse>) -> String {
    loop {
        match within("the watch ends", watch.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                return status.message().to_owned();
            }
        }
    }
}

async fn watch(user: &Raw) -> Streaming<v1::WatchResponse> {
    let mut client = KeyValueServiceClient::new(user.channel.clone());
    let request = user.request(v1::WatchRequest::default());
    within("the watch begins", client.watch(request)).await.unwrap().into_inner()
}

/// A stop ended running scans at once, however long the grace period was.
#[tokio::test]
async fn a_scan_under_way_survives_the_stop_and_a_watch_beside_it_ends() {
    let (mut server, user) = filled(Server::builder()).await;
    let (mut scan, watch) = (scan(&user, String::new()).await, watch(&user).await);
    let (mut keys, _) = first(&mut scan).await;
    server.begin_drain();
    assert_eq!(end_of_watch(watch).await, "the server is shutting down; connect again");
    assert_eq!(rest(&mut scan, &mut keys).await, "");
    assert_all(keys);
    assert_eq!(server.drain().await, Drained::Clean);
}

/// An old connection cut running scans a second after their notice, and a long one never ended.
#[tokio::test]
async fn a_scan_under_way_survives_the_age_of_its_connection_and_a_watch_beside_it_ends() {
    // Long enough for the store to be filled over other connections or this one.
    let limits = "[limits]\nconnection-age = '2s'\nclosing-notice = '10ms'";
    let (server, user) = filled(Server::builder().toml(limits)).await;
    let user = Raw { channel: server.channel(), ..user };
    let (mut scan, watch) = (scan(&user, String::new()).await, watch(&user).await);
    let (mut keys, _) = first(&mut scan).await;
    let sentence = "this connection has reached its age; go on over another";
    assert_eq!(end_of_watch(watch).await, sentence);
    assert_eq!(rest(&mut scan, &mut keys).await, "");
    assert_all(keys);
}

#[tokio::test]
async fn a_scan_that_was_cut_is_resumed_behind_its_last_message() {
    let (server, user) = filled(Server::builder()).await;
    let mut begun = scan(&user, String::new()).await;
    let (mut keys, _) = first(&mut begun).await;
    let (more, token) = first(&mut begun).await;
    keys.extend(more);
    drop(begun);
    let user = Raw { channel: server.channel(), ..user };
    assert_eq!(rest(&mut scan(&user, token).await, &mut keys).await, "");
    assert_all(keys);
}

/// The end of a stream dropped the batch that ran, and its client could not tell whether it was
/// done.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_batch_under_way_is_answered_before_its_pipeline_ends() {
    let redis = RedisProcess::start(&[]);
    let engine = format!("[redis]\nnamespace = '{}'\nanswer-timeout = '20s'", new_namespace());
    let builder = Server::builder().flag("--store", redis.url()).toml(&engine);
    let mut server = builder.start().await;
    let user = sign_in(&Raw::new(server.channel()), "user").await;
    let put = v1::PutOperation {
        key: "k".to_owned(),
        data: Some(v1::put_operation::Data::Value("v".to_owned())),
        ..Default::default()
    };
    let request = |id| v1::PipelineRequest {
        id,
        operations: vec![v1::Operation {
            operation: Some(v1::operation::Operation::Put(put.clone())),
        }],
        ..Default::default()
    };
    let watch = watch(&user).await;
    let (requests, queue) = tokio::sync::mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(queue);
    let mut client = KeyValueServiceClient::new(user.channel.clone());
    let mut answers = client.pipeline(user.request(stream)).await.unwrap().into_inner();
    requests.send(request(1)).await.unwrap();
    assert_eq!(within("an answer", answers.message()).await.unwrap().unwrap().id, 1);
    // Writes wait in the engine until it is let go.
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    requests.send(request(2)).await.unwrap();
    crate::harness::eventually("the batch is with the engine", || {
        std::future::ready(redis.cli(&["INFO", "clients"]).contains("blocked_clients:1"))
    })
    .await;
    server.begin_drain();
    end_of_watch(watch).await;
    redis.cli(&["CLIENT", "UNPAUSE"]);
    let answer = within("an answer", answers.message()).await.unwrap().unwrap();
    assert_eq!((answer.id, answer.rejected), (2, None));
    let status = within("the end", answers.message()).await.unwrap_err();
    assert_eq!(super::raw::Failure::from(status).reason, Some(Reason::Draining));
    assert_eq!(server.drain().await, Drained::Clean);
}

/// A scan that resumes one of somebody else would otherwise read without a trace.
#[tokio::test]
async fn a_resumed_scan_of_another_store_is_on_record() {
    let (server, user) = filled(Server::builder().toml(&super::people::accounts())).await;
    let manager = auth(&Raw::new(server.channel()), "adam", "bill").await.unwrap();
    let mut client = KeyValueServiceClient::new(manager.channel.clone());
    let mut page_token = String::new();
    for count in 1..=2 {
        let request = v1::ScanRequest { user: "user".to_owned(), page_token, ..Default::default() };
        let mut scan = client.scan(manager.request(request)).await.unwrap().into_inner();
        (_, page_token) = first(&mut scan).await;
        let listed: v1::ListAccessesResponse = user
            .call(Method::ListAccesses.path(), &v1::ListAccessesRequest::default())
            .await
            .unwrap();
        let [access] = &listed.accesses[..] else { panic!("{listed:?}") };
        assert_eq!((access.method.as_str(), access.count), ("Scan", count));
    }
}
