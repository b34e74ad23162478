//! `ws-text` and `ws-pickle`.

use kvrpc::dialect::codec::{Message, Payload};
use kvrpc::model::UpgradePolicy;

use super::peer::messages;
use super::pickle::{illegal, strings};

use Payload::{Binary, Text};

fn text(words: &str) -> Message {
    Message::Text(words.to_owned())
}

fn binary(bytes: &[u8]) -> Message {
    Message::Binary(bytes.into())
}

const DENIED: &[u8] = b"you are not allowed to access keys of other users";
const FORMAT: &str = "wrong message format";

#[test]
fn ws_text_names_its_user() {
    for (name, sent, want) in [
        ("free", vec![Text("bob")], vec![text("success")]),
        (
            "in use",
            vec![Text("taken"), Text("bob")],
            vec![text("duplicate user name"), text("success")],
        ),
        (
            "not allowed",
            vec![Text(""), Text("a\tb")],
            vec![text("invalid user name"), text("invalid user name")],
        ),
        (
            "no text",
            vec![Binary(b"\xff"), Binary(b"bob")],
            vec![text("invalid user name"), text("success")],
        ),
        ("no words of its own", vec![Text("late")], vec![text("error: no: SERVER_FULL")]),
    ] {
        let (heard, got) = messages("ws-text", UpgradePolicy::Managers, &sent);
        assert_eq!((got, heard.closed), (want, false), "{name}");
    }
}

#[test]
fn ws_text_serves() {
    let long = format!("put a {}", "x".repeat(65_536));
    let key = format!("get {}", "k".repeat(1_025));
    type Case<'a> = (&'a str, UpgradePolicy, Vec<(Payload<'a>, Message)>);
    let cases: Vec<Case<'_>> = vec![
        (
            "put and get",
            UpgradePolicy::Managers,
            vec![
                (Text("get a"), text("key not found")),
                (Text("put a b"), text("done")),
                (Text("get a"), text("b")),
                (Text("  get \t a "), text("b")),
                (Binary(b"get a"), text("b")),
                (Text("put role x"), text("done")),
                (Text("get blob"), binary(b"a\xff")),
            ],
        ),
        (
            "a guest and others",
            UpgradePolicy::Managers,
            vec![
                (Text("get anuran city"), binary(DENIED)),
                (Text("get nobody city"), binary(DENIED)),
                (Text("get bob city"), text("key not found")),
                (Text("upgrade"), text("you are not allowed to upgrade")),
            ],
        ),
        (
            "a manager and others",
            UpgradePolicy::Open,
            vec![
                (Text("upgrade me please"), text("upgraded to manager")),
                (Text("upgrade"), text("already a manager")),
                (Text("get anuran city"), text("Kolkata")),
                (Text("get anuran x"), text("key not found")),
                (Text("get eve x"), text("user not found")),
            ],
        ),
        (
            "wrong messages",
            UpgradePolicy::Managers,
            vec![
                (Text(""), text(FORMAT)),
                (Text("put a"), text(FORMAT)),
                (Text("put a b c"), text(FORMAT)),
                (Text("get"), text(FORMAT)),
                (Text("get a b c"), text(FORMAT)),
                (Text("GET a"), text(FORMAT)),
                (Text("q now"), text(FORMAT)),
                (Binary(b"put a \xff"), text(FORMAT)),
                (Text("put full x"), text("error: no: QUOTA_EXCEEDED")),
                (Text(&key), text("error: key has 1025 bytes; at most 1,024 are allowed")),
            ],
        ),
    ];
    for (name, policy, exchange) in cases {
        let (mut sent, mut want) = (vec![Text("bob")], vec![text("success")]);
        sent.extend(exchange.iter().map(|(sent, _)| *sent));
        want.extend(exchange.into_iter().map(|(_, want)| want));
        let (heard, got) = messages("ws-text", policy, &sent);
        assert_eq!((got, heard.closed), (want, false), "{name}");
    }
    for (name, sent, want) in [
        ("q", "q", "exiting"),
        (
            "too long",
            long.as_str(),
            "error: the message is over 64 KiB (65,536 bytes); no longer one is allowed",
        ),
    ] {
        let (heard, got) =
            messages("ws-text", UpgradePolicy::Managers, &[Text("bob"), Text(sent), Text("get a")]);
        assert_eq!((got.last(), heard.closed), (Some(&text(want)), true), "{name}");
    }
}

#[test]
fn ws_pickle_takes_a_name_and_then_a_pickle_a_message() {
    let get = b"\x80\x02]q\x00}q\x01(X\x06\x00\x00\x00methodq\x02\
        X\x03\x00\x00\x00getq\x03X\x03\x00\x00\x00keyq\x04X\x01\x00\x00\x00aq\x05ua.";
    let twice = [&get[..], get].concat();
    let long = vec![b'0'; 65_537];
    for (name, sent, want, closed) in [
        ("a name has no reply", vec![Text("bob")], vec![], false),
        ("a get", vec![Text("bob"), Binary(get)], vec![strings(&["Invalid key"])], false),
        ("an empty list", vec![Text("bob"), Binary(b"].")], vec![strings(&[])], false),
        ("as text", vec![Text("bob"), Text("(lp0\n.")], vec![strings(&[])], false),
        (
            "a name in use",
            vec![Text("taken"), Binary(get)],
            vec![strings(&["Invalid username"])],
            true,
        ),
        ("no name", vec![Text(""), Binary(get)], vec![strings(&["Invalid username"])], true),
        ("a pickle first", vec![Binary(get)], vec![strings(&["Invalid username"])], true),
        ("cut short", vec![Text("bob"), Binary(&get[..20])], vec![illegal()], true),
        ("two in one", vec![Text("bob"), Binary(&twice)], vec![illegal()], true),
        ("nothing", vec![Text("bob"), Binary(b"")], vec![illegal()], true),
        ("too long", vec![Text("bob"), Binary(&long)], vec![illegal()], true),
    ] {
        let (heard, got) = messages("ws-pickle", UpgradePolicy::Managers, &sent);
        let want: Vec<_> =
            want.into_iter().map(|bytes| Message::Binary(bytes.as_slice().into())).collect();
        assert_eq!((got, heard.closed), (want, closed), "{name}");
    }
}
