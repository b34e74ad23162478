//! Malformed calls, and calls that take too long.

use std::time::Duration;

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use prost::Message as _;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::people::{People, Who, hash};
use super::raw::Failure;
use super::sessions::{get, put};

#[tokio::test]
async fn what_is_no_message_of_the_call_is_refused_with_a_reason() {
    let people = People::start().await;
    let nonsense = people.call(Who::Guest, Method::Get, vec![0xff; 10]).await.unwrap_err();
    assert_eq!(
        (nonsense.code, nonsense.reason),
        (Code::InvalidArgument, Some(Reason::InvalidMessage))
    );
    // Field 1 with a string that is not UTF-8.
    let latin1 = people.call(Who::Guest, Method::Get, vec![0x0a, 1, 0xe9]).await.unwrap_err();
    assert_eq!(latin1.reason, Some(Reason::InvalidMessage));
    let large = people.call(Who::Guest, Method::Get, vec![0; 5 << 20]).await.unwrap_err();
    assert_eq!((large.code, large.reason), (Code::InvalidArgument, Some(Reason::InvalidMessage)));
    let unknown = people
        .client(Who::Guest)
        .bytes("/kvrpc.v1.KeyValueService/Steal", Vec::new())
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

/// A message that is marked as compressed. This client cannot compress, so flag and encoding are
/// set by hand.
#[tokio::test]
async fn compressed_messages_are_refused() {
    let server = crate::harness::Server::start().await;
    let stream = crate::harness::connect(server.grpc()).await;
    let (mut sender, _driver) = crate::harness::http2_full(stream).await;
    let request = http::Request::post(format!("http://{}{}", server.grpc(), Method::Now.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "gzip")
        .body(http_body_util::Full::new(bytes::Bytes::from_static(&[1, 0, 0, 0, 0])))
        .unwrap();
    let response =
        crate::harness::within("the server answers", sender.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn a_deadline_holds_and_a_malformed_one_is_refused() {
    let people = People::start().await;
    let channel = people.client(Who::Nobody).channel.clone();
    let mut client = v1::clock_service_client::ClockServiceClient::new(channel.clone());
    for (timeout, want) in [("0x", Reason::InvalidMessage), ("123456789S", Reason::InvalidMessage)]
    {
        let mut request = Request::new(v1::NowRequest {});
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let failure = Failure::from(client.now(request).await.unwrap_err());
        assert_eq!(failure.reason, Some(want), "{timeout}");
    }
    // Checking a password takes longer than a nanosecond. The timeout is set by hand, since the
    // client would give up by itself.
    let account =
        format!("[users.adam]\npassword = {:?}\nrole = \"manager\"\n", hash("bill", 64 * 1_024));
    let server = crate::harness::Server::builder().toml(&account).start().await;
    let stream = crate::harness::connect(server.grpc()).await;
    let (mut sender, _driver) = crate::harness::http2_full(stream).await;
    let message =
        v1::AuthRequest { user: "adam".to_owned(), password: "bill".to_owned() }.encode_to_vec();
    let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    body.extend(message);
    let request = http::Request::post(format!("http://{}{}", server.grpc(), Method::Auth.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1n")
        .body(http_body_util::Full::new(bytes::Bytes::from(body)))
        .unwrap();
    let response =
        crate::harness::within("the server answers", sender.send_request(request)).await.unwrap();
    let failure = Failure::from(tonic::Status::from_header_map(response.headers()).unwrap());
    assert_eq!((failure.code, failure.reason), (Code::DeadlineExceeded, Some(Reason::Deadline)));
}

#[tokio::test]
async fn errors_carry_the_details_that_help() {
    let people = People::start().await;
    let call = |who, method: Method, message: Vec<u8>| {
        let client = people.client(who).clone();
        async move { client.bytes(method.path(), message).await.unwrap_err() }
    };
    let put = v1::PutRequest {
        key: "a\nb".to_owned(),
        data: Some(v1::put_request::Data::Value(String::new())),
        ..Default::default()
    };
    let bad_key = call(Who::Guest, Method::Put, put.encode_to_vec()).await;
    let violations = bad_key.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "key");
    assert!(violations[0].description.contains("U+000A"), "{violations:?}");

    let get = |key: &str| v1::Operation {
        operation: Some(v1::operation::Operation::Get(v1::GetOperation { key: key.to_owned() })),
    };
    let batch = v1::BatchRequest { operations: vec![get("a"), get("")], ..Default::default() };
    let bad_batch = call(Who::Guest, Method::Batch, batch.encode_to_vec()).await;
    assert_eq!(
        bad_batch.get_details_bad_request().unwrap().field_violations[0].field,
        "operations[1].key"
    );
    assert!(bad_batch.message().starts_with("operation 1: "), "{bad_batch:?}");

    people.fill_up(&[Who::Guest]).await;
    let data = Some(v1::put_request::Data::Blob(vec![0; 1 << 20].into()));
    let put = v1::PutRequest { key: "more".to_owned(), data, ..Default::default() };
    let over = call(Who::Guest, Method::Put, put.encode_to_vec()).await;
    assert!(over.get_details_quota_failure().is_some(), "{over:?}");
}

/// A retry gets the answer of the first call, even if the expire time that it names has passed
/// meanwhile.
#[tokio::test]
async fn a_retry_gets_the_first_answer_though_its_expire_time_has_passed() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
        + Duration::from_millis(700);
    let time =
        prost_types::Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_nanos() as i32 };
    let request = v1::PutRequest {
        key: "brief".to_owned(),
        data: Some(v1::put_request::Data::Value("value".to_owned())),
        expiry: Some(v1::put_request::Expiry::ExpireTime(time)),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    let first: v1::PutResponse = guest.call(Method::Put.path(), &request).await.unwrap();
    crate::harness::eventually("the key expires", || async { get(guest, "brief").await.is_err() })
        .await;
    let again: v1::PutResponse = guest.call(Method::Put.path(), &request).await.unwrap();
    assert_eq!(again, first);
}

#[tokio::test]
async fn a_scan_sends_all_entries_once_while_the_store_changes() {
    let people = People::start().await;
    let guest = people.client(Who::Guest);
    let operations = |from: usize, value: &str| {
        let put = |number| v1::PutOperation {
            key: format!("stays {number}"),
            data: Some(v1::put_operation::Data::Value(value.to_owned())),
            ..Default::default()
        };
        let operation =
            |number| v1::Operation { operation: Some(v1::operation::Operation::Put(put(number))) };
        v1::BatchRequest {
            operations: (from..from + 1_000).map(operation).collect(),
            ..Default::default()
        }
    };
    for from in [0, 1_000, 2_000] {
        let _: v1::BatchResponse =
            guest.call(Method::Batch.path(), &operations(from, &"v".repeat(100))).await.unwrap();
    }
    let scan = async {
        let request = v1::ScanRequest { prefix: "stays".to_owned(), ..Default::default() };
        let messages =
            people.call(Who::Guest, Method::Scan, request.encode_to_vec()).await.unwrap();
        let messages: Vec<_> =
            messages.into_iter().map(|bytes| v1::ScanResponse::decode(bytes).unwrap()).collect();
        assert!(messages.len() > 3, "more than one message: {}", messages.len());
        assert!(messages.iter().all(|message| message.position == messages[0].position));
        let mut keys: Vec<_> = messages
            .into_iter()
            .flat_map(|message| message.entries)
            .map(|entry| entry.key)
            .collect();
        keys.sort();
        keys
    };
    let change = async {
        for number in 0..200 {
            put(guest, &format!("comes {number}"), "x").await;
            put(guest, &format!("stays {number}"), "again").await;
        }
    };
    let (keys, ()) = tokio::join!(scan, change);
    let mut want: Vec<_> = (0..3_000).map(|number| format!("stays {number}")).collect();
    want.sort();
    assert_eq!(keys, want);
}
