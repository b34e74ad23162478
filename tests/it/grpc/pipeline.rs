//! Pipeline: consecutive batches on one stream.

use std::time::Duration;

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::{self, operation, operation_result, put_operation};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::people::{People, Who};
use super::raw::{Failure, Raw};
use crate::harness::within;

/// An open Pipeline stream.
struct Pipe {
    requests: Option<mpsc::Sender<v1::PipelineRequest>>,
    responses: Streaming<v1::PipelineResponse>,
}

impl Pipe {
    async fn open(raw: &Raw) -> Self {
        let (requests, queue) = mpsc::channel(16);
        let request = raw.request(ReceiverStream::new(queue));
        let mut client = KeyValueServiceClient::new(raw.channel.clone());
        let responses =
            within("the stream opens", client.pipeline(request)).await.unwrap().into_inner();
        Self { requests: Some(requests), responses }
    }

    async fn send(&mut self, id: u64, operations: Vec<v1::Operation>, request_id: &str) {
        let request = v1::PipelineRequest { id, operations, request_id: request_id.to_owned() };
        within("the request is taken", self.requests.as_ref().unwrap().send(request))
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Result<Option<v1::PipelineResponse>, Status> {
        within("an answer comes", self.responses.message()).await
    }

    /// Returns the next answer as text.
    async fn hear(&mut self) -> String {
        let response = self.next().await.unwrap().expect("the stream has ended");
        let words = match response.rejected {
            Some(rejected) => rejected.reason,
            None => response.results.into_iter().map(word).collect::<Vec<_>>().join(" "),
        };
        format!("{}: {words}", response.id)
    }
}

fn word(result: v1::OperationResult) -> String {
    use operation_result::Result as Kind;

    match result.result.unwrap() {
        Kind::Get(v1::GetResult { data: Some(v1::get_result::Data::Value(text)), .. }) => text,
        Kind::Get(_) => "-".to_owned(),
        Kind::Put(put) => format!("@{}", put.revision),
        Kind::Delete(delete) => delete.deleted.to_string(),
    }
}

fn get(key: &str) -> v1::Operation {
    v1::Operation {
        operation: Some(operation::Operation::Get(v1::GetOperation { key: key.to_owned() })),
    }
}

fn put(key: &str, value: &str, if_revision: Option<u64>) -> v1::Operation {
    let data = Some(put_operation::Data::Value(value.to_owned()));
    let put = v1::PutOperation { key: key.to_owned(), data, if_revision, expiry: None };
    v1::Operation { operation: Some(operation::Operation::Put(put)) }
}

#[tokio::test]
async fn batches_are_answered_in_order_and_one_that_fails_leaves_the_stream_open() {
    let people = People::start().await;
    let mut pipe = Pipe::open(people.client(Who::Guest)).await;
    pipe.send(7, vec![put("city", "Kolkata", None), get("city"), get("none")], "").await;
    pipe.send(7, vec![put("city", "Mumbai", None), put("city", "Delhi", Some(99))], "").await;
    pipe.send(u64::MAX, vec![], "").await;
    pipe.send(0, vec![get("")], "").await;
    pipe.send(1, vec![get("city")], "").await;
    pipe.requests = None;
    for want in [
        "7: @1 Kolkata -".to_owned(),
        "7: REVISION_MISMATCH".to_owned(),
        format!("{}: INVALID_BATCH", u64::MAX),
        "0: INVALID_KEY".to_owned(),
        "1: Kolkata".to_owned(),
    ] {
        assert_eq!(pipe.hear().await, want);
    }
    assert_eq!(pipe.next().await.unwrap(), None, "the stream ends with the client's side");
}

#[tokio::test]
async fn a_batch_sent_again_with_its_request_id_is_done_once() {
    let people = People::start().await;
    let mut first = Pipe::open(people.client(Who::Guest)).await;
    first.send(1, vec![put("n", "one", None)], "once").await;
    assert_eq!(first.hear().await, "1: @1");
    let mut second = Pipe::open(people.client(Who::Guest)).await;
    second.send(2, vec![put("n", "one", None)], "once").await;
    second.send(3, vec![put("n", "two", None)], "once").await;
    second.send(4, vec![put("n", "two", None)], "").await;
    for want in ["2: @1", "3: REQUEST_ID_REUSED", "4: @2"] {
        assert_eq!(second.hear().await, want);
    }
}

#[tokio::test]
async fn a_pipeline_ends_with_its_session_and_with_what_is_no_request() {
    let people = People::start().await;
    let client = people.client(Who::Guest);
    let mut pipe = Pipe::open(client).await;
    pipe.send(1, vec![get("city")], "").await;
    assert_eq!(pipe.hear().await, "1: -");
    client
        .call::<_, v1::SignOutResponse>(Method::SignOut.path(), &v1::SignOutRequest {})
        .await
        .unwrap();
    let ended = Failure::from(pipe.next().await.unwrap_err());
    assert_eq!(ended.reason, Some(Reason::SessionExpired));

    let nonsense = people.call(Who::Other, Method::Pipeline, vec![0xff; 10]).await.unwrap_err();
    assert_eq!(nonsense.reason, Some(Reason::InvalidMessage));
}

/// HTTP/2's windows fill up, and then the server reads no more: a client that does not take answers
/// gets no more work done.
#[tokio::test]
async fn a_client_that_takes_no_answers_is_not_read_from() {
    let people = People::start().await;
    let client = people.client(Who::Guest);
    let value = "v".repeat(64 << 10);
    let mut pipe = Pipe::open(client).await;
    pipe.send(0, vec![put("large", &value, None)], "").await;
    assert_eq!(pipe.hear().await, "0: @1");
    let requests = pipe.requests.take().unwrap();
    let flood = async {
        // Each asks for 1 MiB: far more than all windows hold.
        for id in 1..=10_000 {
            let mut operations: Vec<_> = (0..16).map(|_| get("large")).collect();
            operations.push(put("count", &id.to_string(), None));
            let request = v1::PipelineRequest { id, operations, request_id: String::new() };
            requests.send(request).await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(2), flood).await.is_err(),
        "all 10,000 were taken"
    );
    let read: v1::GetResponse =
        client.call(Method::Get.path(), &v1::GetRequest { key: "count".to_owned() }).await.unwrap();
    assert!(read.revision < 100, "{} batches were done for nobody", read.revision);
    // The stream still works: the answers to everything that was done arrive in order.
    for id in 1..read.revision {
        assert_eq!(pipe.next().await.unwrap().unwrap().id, id);
    }
}
