//! Every RPC, once for each error that its comment names.

mod names;
mod puts;

use std::collections::{BTreeMap, BTreeSet};

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;

use super::access::{Row, join, operation_get, row};
use super::contract::{described, documented};
use super::people::{People, Who};
use super::raw::Failure;

fn put(change: impl FnOnce(&mut v1::PutRequest)) -> v1::PutRequest {
    let data = Some(v1::put_request::Data::Value("value".to_owned()));
    let mut request = v1::PutRequest { key: "key".to_owned(), data, ..Default::default() };
    change(&mut request);
    request
}

fn put_other(user: &str, change: impl FnOnce(&mut v1::PutOtherRequest)) -> v1::PutOtherRequest {
    let data = Some(v1::put_other_request::Data::Value("value".to_owned()));
    let mut request = v1::PutOtherRequest {
        user: user.to_owned(),
        key: "key".to_owned(),
        data,
        ..Default::default()
    };
    change(&mut request);
    request
}

fn batch(operations: Vec<v1::Operation>) -> v1::BatchRequest {
    v1::BatchRequest { operations, request_id: String::new() }
}

/// Rows for rooms and their messages; a user may make one room.
fn room_rows() -> Vec<Row> {
    use Reason::{InvalidMessage, InvalidPageToken, QuotaExceeded, RequestIdReused, RoomNotFound};
    use Who::Guest;

    let send = |room: &str, text: &str, id: &str| v1::SendRequest {
        room: room.to_owned(),
        text: text.to_owned(),
        client_message_id: id.to_owned(),
    };
    let none = || "none".to_owned();
    let members = |page_token| v1::ListMembersRequest { page_token, ..Default::default() };
    vec![
        row(
            Method::Subscribe,
            Guest,
            v1::SubscribeRequest { room: none(), after: None },
            Err(RoomNotFound),
        ),
        row(
            Method::ListMembers,
            Guest,
            v1::ListMembersRequest { room: none(), ..Default::default() },
            Err(RoomNotFound),
        ),
        row(Method::Send, Guest, send("", "hello", "once"), Ok(())),
        row(Method::Send, Guest, send("lobby", "hello", "once"), Ok(())),
        row(Method::Send, Guest, send("LOBBY", "goodbye", "once"), Err(RequestIdReused)),
        row(Method::Send, Guest, send("", "", ""), Err(InvalidMessage)),
        row(Method::Send, Guest, send("", &"x".repeat(4_097), ""), Err(InvalidMessage)),
        row(Method::Send, Guest, send("", "hello", &"i".repeat(65)), Err(InvalidMessage)),
        row(Method::Send, Guest, send("", &"x".repeat(4_096), &"i".repeat(64)), Ok(())),
        row(Method::Send, Guest, send("second", "hello", ""), Err(QuotaExceeded)),
        row(Method::Chat, Guest, join("second"), Err(QuotaExceeded)),
        row(Method::Chat, Guest, v1::ChatRequest::default(), Err(InvalidMessage)),
        row(Method::ListMembers, Guest, members("Zm9yZ2Vk".to_owned()), Err(InvalidPageToken)),
        row(
            Method::ListRooms,
            Guest,
            v1::ListRoomsRequest { page_token: "Zm9yZ2Vk".to_owned(), ..Default::default() },
            Err(InvalidPageToken),
        ),
    ]
}

fn other_rows() -> Vec<Row> {
    use Reason::{KeyNotFound, ManagerRequired, UpgradeNotAllowed, UserNotFound};
    use Who::{Guest, Manager};

    let get =
        |user: &str, key: &str| v1::GetOtherRequest { user: user.to_owned(), key: key.to_owned() };
    let list = |user: &str| v1::ListKeysRequest { user: user.to_owned(), ..Default::default() };
    let scan = |user: &str| v1::ScanRequest { user: user.to_owned(), ..Default::default() };
    let watch = |user: &str| v1::WatchRequest { user: user.to_owned(), ..Default::default() };
    let mut rows = vec![
        row(Method::Get, Guest, v1::GetRequest { key: "no such".to_owned() }, Err(KeyNotFound)),
        row(Method::GetOther, Manager, get("other", "no such"), Err(KeyNotFound)),
        row(Method::GetOther, Guest, get("guest", "no such"), Err(KeyNotFound)),
        row(Method::GetOther, Manager, get("nobody", "key"), Err(UserNotFound)),
        row(Method::PutOther, Manager, put_other("nobody", |_| {}), Err(UserNotFound)),
        row(Method::ListKeys, Manager, list("nobody"), Err(UserNotFound)),
        row(Method::Scan, Manager, scan("nobody"), Err(UserNotFound)),
        row(Method::Watch, Manager, watch("nobody"), Err(UserNotFound)),
        row(Method::Watch, Guest, watch("guest"), Ok(())),
        row(
            Method::Upgrade,
            Manager,
            v1::UpgradeRequest { user: "nobody".to_owned() },
            Err(UserNotFound),
        ),
        row(
            Method::Downgrade,
            Manager,
            v1::DowngradeRequest { user: "nobody".to_owned(), end_sessions: true },
            Err(UserNotFound),
        ),
        row(Method::Upgrade, Guest, v1::UpgradeRequest::default(), Err(UpgradeNotAllowed)),
        row(
            Method::Upgrade,
            Guest,
            v1::UpgradeRequest { user: "guest".to_owned() },
            Err(UpgradeNotAllowed),
        ),
        row(Method::PutOther, Guest, put_other("guest", |_| {}), Ok(())),
        row(Method::ListKeys, Guest, list("guest"), Ok(())),
        row(Method::Scan, Guest, scan("guest"), Ok(())),
    ];
    // A guest cannot find out whether another user exists.
    for user in ["other", "nobody", "adam"] {
        rows.push(row(Method::GetOther, Guest, get(user, "key"), Err(ManagerRequired)));
        rows.push(row(Method::PutOther, Guest, put_other(user, |_| {}), Err(ManagerRequired)));
        rows.push(row(Method::ListKeys, Guest, list(user), Err(ManagerRequired)));
        rows.push(row(Method::Scan, Guest, scan(user), Err(ManagerRequired)));
        rows.push(row(Method::Watch, Guest, watch(user), Err(ManagerRequired)));
        rows.push(row(
            Method::Upgrade,
            Guest,
            v1::UpgradeRequest { user: user.to_owned() },
            Err(ManagerRequired),
        ));
        let downgrade = v1::DowngradeRequest { user: user.to_owned(), end_sessions: true };
        rows.push(row(Method::Downgrade, Guest, downgrade, Err(ManagerRequired)));
    }
    rows.push(row(Method::ListUsers, Guest, v1::ListUsersRequest::default(), Err(ManagerRequired)));
    rows
}

fn rest_rows() -> Vec<Row> {
    use Reason::*;
    use Who::{Guest, Manager, Nobody};

    let forged = || "Zm9yZ2Vk".to_owned();
    let mut rows = vec![
        row(Method::Batch, Guest, batch(Vec::new()), Err(InvalidBatch)),
        row(Method::Batch, Guest, batch(vec![operation_get("a"); 1_001]), Err(InvalidBatch)),
        row(Method::Batch, Guest, batch(vec![v1::Operation::default()]), Err(InvalidBatch)),
        row(
            Method::ListKeys,
            Guest,
            v1::ListKeysRequest { page_token: forged(), ..Default::default() },
            Err(InvalidPageToken),
        ),
        row(
            Method::Scan,
            Guest,
            v1::ScanRequest { page_token: forged(), ..Default::default() },
            Err(InvalidPageToken),
        ),
        row(
            Method::ListUsers,
            Manager,
            v1::ListUsersRequest { page_token: forged(), ..Default::default() },
            Err(InvalidPageToken),
        ),
        row(
            Method::ListAccesses,
            Guest,
            v1::ListAccessesRequest { page_token: forged(), ..Default::default() },
            Err(InvalidPageToken),
        ),
        row(
            Method::Encode,
            Nobody,
            v1::EncodeRequest { text: "x".repeat(64 * 1_024 + 1) },
            Err(InvalidValue),
        ),
        row(
            Method::Decode,
            Nobody,
            v1::DecodeRequest { bits: "0".repeat(9 * 64 * 1_024 + 1) },
            Err(InvalidValue),
        ),
        row(
            Method::Decode,
            Nobody,
            v1::DecodeRequest { bits: "01100011 2".to_owned() },
            Err(InvalidBits),
        ),
    ];
    for expression in
        ["", "12 +", "12+13", "1 / 0", "1e308 * 1e308", "nan + 1", "1 % 2", &"1".repeat(300)]
    {
        let calculate = v1::CalculateRequest { expression: expression.to_owned() };
        rows.push(row(Method::Calculate, Nobody, calculate, Err(InvalidExpression)));
    }
    for (user, password) in [
        ("adam", "wrong"),
        ("nobody", "bill"),
        ("guest", "bill"),
        ("", ""),
        ("adam", ""),
        ("a\nb", "x"),
    ] {
        let auth = v1::AuthRequest { user: user.to_owned(), password: password.to_owned() };
        rows.push(row(Method::Auth, Nobody, auth, Err(BadCredentials)));
    }
    rows
}

/// Reasons that only another server, moment or engine returns; other tests show them.
const ELSEWHERE: [Reason; 1] = [Reason::OutcomeUnknown];

#[tokio::test]
async fn every_error_that_a_comment_names_is_given() {
    let people = People::start().await;
    people.fill_up(&[Who::Guest, Who::Other]).await;
    let rows = [
        names::key_rows(),
        names::name_rows(),
        other_rows(),
        puts::put_rows(),
        puts::request_id_rows(),
        room_rows(),
        rest_rows(),
    ];
    let mut seen: BTreeMap<&str, BTreeSet<Reason>> = BTreeMap::new();
    // Tested by `who_may_call_what`.
    seen.entry(Method::Auth.path()).or_default().insert(Reason::SessionExpired);
    // Tested by `chat::who_is_in_too_many_rooms_may_not_subscribe`.
    seen.entry(Method::Subscribe.path()).or_default().insert(Reason::QuotaExceeded);
    for Row { method, who, message, want } in rows.into_iter().flatten() {
        let before = people.state().await;
        let got = people.call(who, method, message).await;
        if let Err(failure) = &got {
            check_details(method, failure);
            assert_eq!(
                people.state().await,
                before,
                "{} changed something: {failure:?}",
                method.path()
            );
            seen.entry(method.path()).or_default().extend(failure.reason);
        }
        let outcome = got
            .map(|_| ())
            .map_err(|failure| failure.reason.unwrap_or_else(|| panic!("{failure:?}")));
        assert_eq!(outcome, want, "{} as {who:?}", method.path());
    }
    for (path, (_, comment)) in described() {
        for reason in documented(&comment) {
            let shown = seen.get(&path[..]).is_some_and(|seen| seen.contains(&reason))
                || ELSEWHERE.contains(&reason);
            assert!(shown, "no row shows {} of {path}", reason.as_str());
        }
    }
}

/// Checks that code and reason belong together, and that the message is a sentence.
fn check_details(method: Method, failure: &Failure) {
    let reason = failure.reason.unwrap_or_else(|| panic!("{}: {failure:?}", method.path()));
    assert_eq!(failure.code, kvrpc::pb::code(reason), "{}: {failure:?}", method.path());
    assert!(!failure.message.is_empty() && !failure.message.contains('\n'), "{failure:?}");
}
