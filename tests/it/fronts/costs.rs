//! Costs of calls in the engine: no more than their answers.

use kvrpc::model::Method;
use kvrpc::pb::v1;

use super::{Fronts, calls};
use crate::grpc::people::sign_in;
use crate::grpc::raw::Raw;

const VALUE_BYTES: usize = 1 << 20;
const KEYS: usize = 12;

async fn fill(client: &Raw) {
    for number in 0..KEYS {
        let request = v1::PutRequest {
            key: format!("key {number:02}"),
            data: Some(v1::put_request::Data::Blob(vec![7; VALUE_BYTES].into())),
            ..Default::default()
        };
        let _: v1::PutResponse = client.call(Method::Put.path(), &request).await.unwrap();
    }
}

/// A listing of keys read every value, and blocked the node of all users meanwhile.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_listing_of_keys_reads_no_values() {
    let fronts = Fronts::start(1, "").await;
    let client = sign_in(&fronts.nobody(0), "anuran").await;
    fill(&client).await;
    let before = calls(&fronts, "hget");
    let listed: v1::ListKeysResponse =
        client.call(Method::ListKeys.path(), &v1::ListKeysRequest::default()).await.unwrap();
    assert_eq!(listed.keys.len(), KEYS);
    // One for the store's record, and two for request ids and a status beside.
    let read = calls(&fronts, "hget") - before;
    assert!(read <= 3, "{read} fields were read for a list of names");
}

/// The revisions and expiries of a scan without values lie before the values, so those are read:
/// a few at a time.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_scan_without_values_reads_few_at_a_time() {
    let fronts = Fronts::start(1, "").await;
    let client = sign_in(&fronts.nobody(0), "anuran").await;
    fill(&client).await;
    let before = calls(&fronts, "fcall");
    let request = v1::ScanRequest { keys_only: true, ..Default::default() };
    let mut stream = tonic::client::Grpc::new(client.channel.clone());
    stream.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(Method::Scan.path());
    let codec = tonic_prost::ProstCodec::<v1::ScanRequest, v1::ScanResponse>::default();
    let mut rows =
        stream.server_streaming(client.request(request), path, codec).await.unwrap().into_inner();
    let mut keys = 0;
    while let Some(page) = rows.message().await.unwrap() {
        keys += page.entries.len();
    }
    assert_eq!(keys, KEYS);
    let steps = calls(&fronts, "fcall") - before;
    assert!(steps >= KEYS as u64, "{KEYS} MiB were read in {steps} calls");
}
