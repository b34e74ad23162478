//! Every RPC, called without a token, with an expired token, by a guest and by a manager.

use std::collections::BTreeSet;

use kvrpc::model::Reason;
use kvrpc::model::{Method, Permission};
use kvrpc::pb::v1;
use prost::Message;

use super::people::{People, Who};

/// A call and its expected outcome: `Err` with the reason of its failure.
pub(super) struct Row {
    pub(super) method: Method,
    pub(super) who: Who,
    pub(super) message: Vec<u8>,
    pub(super) want: Result<(), Reason>,
}

pub(super) fn row(
    method: Method,
    who: Who,
    message: impl Message,
    want: Result<(), Reason>,
) -> Row {
    Row { method, who, message: message.encode_to_vec(), want }
}

/// Returns a request that succeeds for all permitted callers, if called in table order.
fn good(method: Method, who: Who) -> Vec<u8> {
    use v1::*;

    let key = || "city".to_owned();
    let data = || Some(put_request::Data::Value("Kolkata".to_owned()));
    let other = || "other".to_owned();
    match method {
        Method::Get => GetRequest { key: key() }.encode_to_vec(),
        Method::Put => {
            PutRequest { key: key(), data: data(), ..Default::default() }.encode_to_vec()
        }
        Method::Delete => {
            DeleteRequest { key: "no such".to_owned(), ..Default::default() }.encode_to_vec()
        }
        Method::GetOther => GetOtherRequest { user: other(), key: key() }.encode_to_vec(),
        Method::PutOther => PutOtherRequest {
            user: other(),
            key: key(),
            data: Some(put_other_request::Data::Value("Mumbai".to_owned())),
            ..Default::default()
        }
        .encode_to_vec(),
        Method::ListKeys => ListKeysRequest { user: other(), ..Default::default() }.encode_to_vec(),
        Method::Scan => ScanRequest { user: other(), ..Default::default() }.encode_to_vec(),
        Method::Batch => {
            BatchRequest { operations: vec![operation_get("city")], ..Default::default() }
                .encode_to_vec()
        }
        Method::Pipeline => {
            PipelineRequest { operations: vec![operation_get("city")], ..Default::default() }
                .encode_to_vec()
        }
        Method::Watch => WatchRequest { user: other(), ..Default::default() }.encode_to_vec(),
        Method::Chat => join("").encode_to_vec(),
        Method::Subscribe => SubscribeRequest::default().encode_to_vec(),
        Method::Send => {
            SendRequest { text: "hello".to_owned(), ..Default::default() }.encode_to_vec()
        }
        Method::ListMembers => ListMembersRequest::default().encode_to_vec(),
        Method::SignIn => SignInRequest { user: format!("fresh {who:?}") }.encode_to_vec(),
        Method::Auth => {
            AuthRequest { user: "bob".to_owned(), password: "bob's".to_owned() }.encode_to_vec()
        }
        Method::Upgrade => UpgradeRequest { user: other() }.encode_to_vec(),
        Method::Downgrade => {
            DowngradeRequest { user: other(), end_sessions: false }.encode_to_vec()
        }
        Method::Encode => EncodeRequest { text: "comm".to_owned() }.encode_to_vec(),
        Method::Decode => DecodeRequest { bits: "01100011".to_owned() }.encode_to_vec(),
        Method::Calculate => CalculateRequest { expression: "12 + 13".to_owned() }.encode_to_vec(),
        Method::WhoAmI
        | Method::SignOut
        | Method::ListUsers
        | Method::ListAccesses
        | Method::ListRooms
        | Method::GetServerInfo
        | Method::Now => Vec::new(),
    }
}

pub(super) fn join(room: &str) -> v1::ChatRequest {
    let join = v1::ChatJoin { room: room.to_owned(), after: None };
    v1::ChatRequest { request: Some(v1::chat_request::Request::Join(join)) }
}

pub(super) fn operation_get(key: &str) -> v1::Operation {
    v1::Operation {
        operation: Some(v1::operation::Operation::Get(v1::GetOperation { key: key.to_owned() })),
    }
}

pub(super) fn operation_put(put: v1::PutOperation) -> v1::Operation {
    v1::Operation { operation: Some(v1::operation::Operation::Put(put)) }
}

/// Returns the expected outcome of a valid request by its caller.
fn want(method: Method, who: Who) -> Result<(), Reason> {
    match (method.permission(), who) {
        (Permission::Open, _) | (Permission::OptionalSession, Who::Nobody) => Ok(()),
        (_, Who::Nobody | Who::Malformed) => Err(Reason::SessionRequired),
        (_, Who::Expired | Who::Stranger) => Err(Reason::SessionExpired),
        (Permission::Session | Permission::OptionalSession, _) | (_, Who::Manager) => Ok(()),
        (
            Permission::OwnOrManager | Permission::Manager | Permission::Promotion,
            Who::Guest | Who::Other,
        ) => Err(Reason::ManagerRequired),
    }
}

fn access_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // SignOut comes last, since it ends the session.
    let last = |method: &&Method| **method == Method::SignOut;
    let methods =
        Method::ALL.iter().filter(|method| !last(method)).chain(Method::ALL.iter().filter(last));
    for &method in methods {
        for who in
            [Who::Nobody, Who::Malformed, Who::Expired, Who::Stranger, Who::Guest, Who::Manager]
        {
            rows.push(Row { method, who, message: good(method, who), want: want(method, who) });
        }
    }
    rows
}

#[tokio::test]
async fn who_may_call_what() {
    let people = People::start().await;
    for who in [Who::Guest, Who::Manager] {
        people.call(who, Method::Put, good(Method::Put, who)).await.unwrap();
    }
    // The manager reads a key of the other guest.
    people.call(Who::Other, Method::Put, good(Method::Put, Who::Other)).await.unwrap();
    let mut seen = BTreeSet::new();
    for Row { method, who, message, want } in access_rows() {
        let got = people.call(who, method, message).await;
        let got = got
            .map(|_| ())
            .map_err(|failure| failure.reason.unwrap_or_else(|| panic!("{failure:?}")));
        assert_eq!(got, want, "{} as {who:?}", method.path());
        seen.insert((method.path(), format!("{who:?}")));
    }
    assert_eq!(seen.len(), Method::ALL.len() * 6);
}
