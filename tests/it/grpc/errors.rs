//! Every RPC, once for each error that its comment names.

use std::collections::{BTreeMap, BTreeSet};

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;

use super::access::{Row, join, operation_get, operation_put, row};
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

fn put_operation(change: impl FnOnce(&mut v1::PutOperation)) -> v1::Operation {
    let data = Some(v1::put_operation::Data::Value("value".to_owned()));
    let mut put = v1::PutOperation { key: "key".to_owned(), data, ..Default::default() };
    change(&mut put);
    operation_put(put)
}

fn duration(seconds: i64, nanos: i32) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos }
}

fn timestamp(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

const MIB: usize = 1 << 20;
const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60;

fn bad_keys() -> Vec<String> {
    vec![
        String::new(),
        "k".repeat(1_025),
        "a\nb".to_owned(),
        "\u{7f}".to_owned(),
        "\u{85}".to_owned(),
    ]
}

fn bad_names() -> Vec<String> {
    vec![
        String::new(),
        "n".repeat(65),
        "a\nb".to_owned(),
        "a\u{202e}b".to_owned(),
        "\u{e0080}".to_owned(),
        "\u{200b}".to_owned(),
    ]
}

fn key_rows() -> Vec<Row> {
    use Reason::InvalidKey;
    use Who::{Guest, Manager};

    let mut rows = Vec::new();
    for key in bad_keys() {
        let key = || key.clone();
        rows.push(row(Method::Get, Guest, v1::GetRequest { key: key() }, Err(InvalidKey)));
        rows.push(row(Method::Put, Guest, put(|put| put.key = key()), Err(InvalidKey)));
        rows.push(row(
            Method::Delete,
            Guest,
            v1::DeleteRequest { key: key(), ..Default::default() },
            Err(InvalidKey),
        ));
        let get_other = v1::GetOtherRequest { user: "other".to_owned(), key: key() };
        rows.push(row(Method::GetOther, Manager, get_other, Err(InvalidKey)));
        rows.push(row(
            Method::PutOther,
            Manager,
            put_other("other", |put| put.key = key()),
            Err(InvalidKey),
        ));
        rows.push(row(
            Method::Batch,
            Guest,
            batch(vec![operation_get("a"), operation_get(&key())]),
            Err(InvalidKey),
        ));
        if !key().is_empty() {
            let list = v1::ListKeysRequest { prefix: key(), ..Default::default() };
            rows.push(row(Method::ListKeys, Guest, list, Err(InvalidKey)));
            let scan = v1::ScanRequest { prefix: key(), ..Default::default() };
            rows.push(row(Method::Scan, Guest, scan, Err(InvalidKey)));
            let watch = v1::WatchRequest { prefix: key(), ..Default::default() };
            rows.push(row(Method::Watch, Guest, watch, Err(InvalidKey)));
        }
    }
    rows
}

fn name_rows() -> Vec<Row> {
    use Reason::{InvalidName, NameInUse};
    use Who::{Guest, Manager, Nobody};

    let mut rows = Vec::new();
    for user in bad_names() {
        let user = || user.clone();
        rows.push(row(
            Method::SignIn,
            Nobody,
            v1::SignInRequest { user: user() },
            Err(InvalidName),
        ));
        let get_other = v1::GetOtherRequest { user: user(), key: "key".to_owned() };
        rows.push(row(Method::GetOther, Manager, get_other, Err(InvalidName)));
        rows.push(row(Method::PutOther, Manager, put_other(&user(), |_| {}), Err(InvalidName)));
        let downgrade = v1::DowngradeRequest { user: user(), end_sessions: false };
        rows.push(row(Method::Downgrade, Manager, downgrade, Err(InvalidName)));
        if !user().is_empty() {
            rows.push(row(
                Method::Upgrade,
                Manager,
                v1::UpgradeRequest { user: user() },
                Err(InvalidName),
            ));
            let list = v1::ListKeysRequest { user: user(), ..Default::default() };
            rows.push(row(Method::ListKeys, Guest, list, Err(InvalidName)));
            let scan = v1::ScanRequest { user: user(), ..Default::default() };
            rows.push(row(Method::Scan, Guest, scan, Err(InvalidName)));
            let watch = v1::WatchRequest { user: user(), ..Default::default() };
            rows.push(row(Method::Watch, Guest, watch, Err(InvalidName)));
            rows.extend(room_name_rows(&user()));
        }
    }
    for user in ["48106", "127.0.0.1:48106", "[::1]:80", "４２"] {
        rows.push(row(
            Method::SignIn,
            Nobody,
            v1::SignInRequest { user: user.to_owned() },
            Err(InvalidName),
        ));
    }
    for user in ["guest", "GUEST", "ＧＵＥＳＴ", "g\u{ad}uest", "adam", "Adam"] {
        rows.push(row(
            Method::SignIn,
            Nobody,
            v1::SignInRequest { user: user.to_owned() },
            Err(NameInUse),
        ));
    }
    rows
}

/// Rows with an invalid room name.
fn room_name_rows(room: &str) -> Vec<Row> {
    let name = || room.to_owned();
    let subscribe = v1::SubscribeRequest { room: name(), after: None };
    let send = v1::SendRequest { room: name(), text: "hello".to_owned(), ..Default::default() };
    let members = v1::ListMembersRequest { room: name(), ..Default::default() };
    vec![
        row(Method::Chat, Who::Guest, join(room), Err(Reason::InvalidName)),
        row(Method::Subscribe, Who::Guest, subscribe, Err(Reason::InvalidName)),
        row(Method::Send, Who::Guest, send, Err(Reason::InvalidName)),
        row(Method::ListMembers, Who::Guest, members, Err(Reason::InvalidName)),
    ]
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

/// Rows for invalid puts, as changes of three kinds of put.
fn put_rows() -> Vec<Row> {
    use Reason::{InvalidRequestId, InvalidTtl, InvalidValue, QuotaExceeded, RevisionMismatch};
    use Who::{Guest, Manager};

    let mut rows = Vec::new();
    macro_rules! each_put {
        ($want:expr, $module:ident, |$put:ident| $change:expr) => {{
            use v1::put_request as $module;
            rows.push(row(Method::Put, Guest, put(|$put| $change), Err($want)));
        }
        {
            use v1::put_other_request as $module;
            rows.push(row(
                Method::PutOther,
                Manager,
                put_other("other", |$put| $change),
                Err($want),
            ));
        }
        {
            use v1::put_operation as $module;
            rows.push(row(
                Method::Batch,
                Guest,
                batch(vec![put_operation(|$put| $change)]),
                Err($want),
            ));
        }};
    }
    each_put!(InvalidValue, module, |put| put.data = None::<module::Data>);
    each_put!(InvalidValue, module, |put| put.data =
        Some(module::Data::Value("v".repeat(MIB + 1))));
    each_put!(InvalidValue, module, |put| put.data =
        Some(module::Data::Blob(vec![0; MIB + 1].into())));
    for (seconds, nanos) in [
        (0, 0),
        (-1, 0),
        (0, -1),
        (0, 999_999),
        (TEN_YEARS, 1_000_000),
        (i64::MAX, 0),
        (0, 1_000_000_000),
    ] {
        each_put!(InvalidTtl, module, |put| put.expiry =
            Some(module::Expiry::Ttl(duration(seconds, nanos))));
    }
    for (seconds, nanos) in [
        (0, 0),
        (-1, 0),
        (1_000_000_000, 0),
        (i64::MAX, 0),
        (253_402_300_799, 0),
        (4_000_000_000, -1),
    ] {
        each_put!(InvalidTtl, module, |put| put.expiry =
            Some(module::Expiry::ExpireTime(timestamp(seconds, nanos))));
    }
    each_put!(RevisionMismatch, module, |put| {
        put.data = Some(module::Data::Value(String::new()));
        put.if_revision = Some(999);
    });
    each_put!(QuotaExceeded, module, |put| put.data = Some(module::Data::Value("v".repeat(MIB))));
    let id = "i".repeat(65);
    rows.push(row(
        Method::Put,
        Guest,
        put(|put| put.request_id = id.clone()),
        Err(InvalidRequestId),
    ));
    rows.push(row(
        Method::PutOther,
        Manager,
        put_other("other", |put| put.request_id = id.clone()),
        Err(InvalidRequestId),
    ));
    let long =
        v1::DeleteRequest { key: "key".to_owned(), request_id: id.clone(), ..Default::default() };
    rows.push(row(Method::Delete, Guest, long, Err(InvalidRequestId)));
    let long = v1::BatchRequest { operations: vec![operation_get("a")], request_id: id };
    rows.push(row(Method::Batch, Guest, long, Err(InvalidRequestId)));
    let stale =
        v1::DeleteRequest { key: "no such".to_owned(), if_revision: Some(7), ..Default::default() };
    rows.push(row(Method::Delete, Guest, stale, Err(RevisionMismatch)));
    rows
}

/// Rows for a request id that was used before with another payload.
fn request_id_rows() -> Vec<Row> {
    use Reason::RequestIdReused;
    use Who::{Guest, Manager};

    let id = || "once".to_owned();
    let delete =
        v1::DeleteRequest { key: "key".to_owned(), request_id: id(), ..Default::default() };
    let reused = v1::BatchRequest { operations: vec![operation_get("a")], request_id: id() };
    vec![
        row(Method::Put, Guest, put(|put| put.request_id = id()), Ok(())),
        row(Method::Put, Guest, put(|put| put.request_id = id()), Ok(())),
        row(
            Method::Put,
            Guest,
            put(|put| (put.request_id, put.key) = (id(), "another".to_owned())),
            Err(RequestIdReused),
        ),
        row(Method::Delete, Guest, delete, Err(RequestIdReused)),
        row(Method::Batch, Guest, reused, Err(RequestIdReused)),
        row(Method::PutOther, Manager, put_other("other", |put| put.request_id = id()), Ok(())),
        row(
            Method::PutOther,
            Manager,
            put_other("guest", |put| put.request_id = id()),
            Err(RequestIdReused),
        ),
    ]
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
        key_rows(),
        name_rows(),
        other_rows(),
        put_rows(),
        request_id_rows(),
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
