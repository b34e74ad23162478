//! Rows with invalid keys, user names and room names.

use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;

use super::{batch, put, put_other};
use crate::grpc::access::{Row, join, operation_get, row};
use crate::grpc::people::Who;

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

pub(super) fn key_rows() -> Vec<Row> {
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

pub(super) fn name_rows() -> Vec<Row> {
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
    for user in ["guest", "GUEST", "ＧＵＥＳＴ", "adam", "Adam"] {
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
