//! `pickle`: the output of Python's picklers in every protocol is decoded and answered.

use std::collections::BTreeMap;

use kvrpc::model::UpgradePolicy;

use super::peer::{Feed, Heard, stream};

use Feed::{Bytes, End, Quiet};

/// Returns a list of strings as the server writes it: protocol 2, no memo.
pub(super) fn strings(words: &[&str]) -> Vec<u8> {
    let mut pickle = b"\x80\x02](".to_vec();
    for word in words {
        pickle.push(b'X');
        pickle.extend_from_slice(&u32::try_from(word.len()).unwrap().to_le_bytes());
        pickle.extend_from_slice(word.as_bytes());
    }
    pickle.extend_from_slice(b"e.");
    pickle
}

/// Returns the answer to bytes that are not requests.
pub(super) fn illegal() -> Vec<u8> {
    strings(&["Illegal request"])
}

pub(super) fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Returns case, protocol, pickler and bytes.
pub(super) fn corpus() -> impl Iterator<Item = (&'static str, &'static str, &'static str, Vec<u8>)>
{
    include_str!("corpus/pickles.txt").lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let &[case, protocol, pickler, hex] = words.as_slice() else { panic!("{line}") };
        (case, protocol, pickler, unhex(hex))
    })
}

/// Runs a client that sends its name, waits, and sends `feeds`.
pub(super) fn after_name(feeds: &[Feed<'_>]) -> Heard {
    let all: Vec<_> = [Bytes(b"bob"), Quiet].iter().chain(feeds).copied().collect();
    stream("pickle", UpgradePolicy::Managers, &all)
}

const DONE: &str = "Successful";
const NONE: &str = "Invalid key";
const BAD: &str = "Illegal request";

fn wanted() -> BTreeMap<&'static str, Vec<&'static str>> {
    let v = &*"v".repeat(300).leak();
    BTreeMap::from([
        ("empty-list", vec![]),
        ("empty-tuple", vec![]),
        ("get", vec![NONE]),
        ("put-get", vec![DONE, "Kolkata"]),
        ("getother", vec!["Access Denied"]),
        ("upgrade", vec!["Access Denied"]),
        ("tuple-of-one", vec![DONE]),
        ("tuple-of-two", vec![DONE, "b"]),
        ("tuple-of-four", vec![DONE, "b", NONE, "b"]),
        ("any-case", vec![DONE, "b"]),
        ("latin-1", vec![DONE, "é"]),
        ("bmp", vec![DONE, "€"]),
        ("astral", vec![DONE, "a😀b"]),
        // The Python 2 form of the same value.
        ("escapes", vec![DONE, "a\nb\\n\\u0041'\"\r\t\x1a\0\\"]),
        ("long-value", vec![DONE, v]),
        ("shared-strings", vec![DONE, "shared", DONE, "shared"]),
        ("same-dict", vec![NONE; 3]),
        ("many", vec![NONE; 1_100]),
        ("unknown-method", vec![BAD, DONE]),
        ("missing-fields", vec![BAD; 4]),
        ("numbers", vec![BAD; 9]),
        ("bytes", vec![BAD; 2]),
        ("bytearray", vec![BAD]),
        ("other-keys", vec![NONE]),
        ("nested", vec![BAD; 4]),
        ("surrogate", vec![BAD]),
        (
            "bad-key",
            vec![
                "Error: key is empty; a key is 1 to 1,024 bytes",
                "Error: key has the control character U+0009; none is allowed",
                "Error: key has 1025 bytes; at most 1,024 are allowed",
            ],
        ),
        ("errors", vec!["Error: no: QUOTA_EXCEEDED", "a\u{fffd}", "Invalid username"]),
        ("depth-8", vec![BAD]),
    ])
}

#[test]
fn every_protocol_is_answered_alike() {
    let wanted = wanted();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (case, protocol, pickler, bytes) in corpus() {
        let heard = after_name(&[Bytes(&bytes)]);
        let want =
            strings(wanted.get(case).unwrap_or_else(|| panic!("{case} is not in the table")));
        assert_eq!(
            heard.writes,
            [want],
            "{case} in protocol {protocol} by {pickler}: {:?}",
            heard.actions
        );
        assert!(!heard.closed, "{case} in protocol {protocol} by {pickler} closes");
        *seen.entry(case).or_default() += 1;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
}

#[test]
fn a_pickle_ends_where_it_says() {
    let all: Vec<_> = corpus().filter(|(case, ..)| *case != "many").collect();
    let joined: Vec<u8> = all.iter().flat_map(|(.., bytes)| bytes.clone()).collect();
    let whole = after_name(&[Bytes(&joined)]);
    assert_eq!(whole.writes.len(), all.len());
    let bytewise: Vec<_> = joined.iter().map(|byte| Bytes(std::slice::from_ref(byte))).collect();
    assert_eq!(after_name(&bytewise), whole);
    // A pause in a pickle has no meaning.
    let paused: Vec<_> = joined.chunks(100).flat_map(|piece| [Bytes(piece), Quiet]).collect();
    assert_eq!(after_name(&paused), whole);
}

#[test]
fn the_name_ends_before_the_first_pickle() {
    for (case, protocol, pickler, bytes) in corpus() {
        // Without memo opcodes, the output of protocols 0 and 1 could be the end of a name.
        if ["0", "1"].contains(&protocol) && (pickler == "optimized" || case == "empty-tuple") {
            continue;
        }
        let together = [b"r\xc3\xa9 (1]", &bytes[..]].concat();
        let heard = stream("pickle", UpgradePolicy::Managers, &[Bytes(&together)]);
        let sign_in = heard.actions.first().map(String::as_str).unwrap_or_default();
        assert!(
            sign_in.starts_with("SignIn(UserName { text: \"ré (1]\""),
            "{case} {protocol} {pickler}: {sign_in}"
        );
        assert_eq!(
            heard.writes,
            after_name(&[Bytes(&bytes)]).writes,
            "{case} {protocol} {pickler}"
        );
        let bytewise: Vec<_> =
            together.iter().map(|byte| Bytes(std::slice::from_ref(byte))).collect();
        assert_eq!(
            stream("pickle", UpgradePolicy::Managers, &bytewise),
            heard,
            "{case} {protocol} {pickler}, cut"
        );
    }
}

#[test]
fn names_open_a_session_or_the_first_request_says_why_not() {
    const GET: &[u8] = b"\x80\x02]q\x00}q\x01(X\x06\x00\x00\x00methodq\x02\
        X\x03\x00\x00\x00getq\x03X\x03\x00\x00\x00keyq\x04X\x01\x00\x00\x00aq\x05ua.";
    let invalid = || vec![strings(&["Invalid username"])];
    let long = vec![b'n'; 65_600];
    for (name, feeds, want, closed) in [
        ("no reply to a name", vec![Bytes(b"bob"), Quiet], vec![], false),
        ("a line", vec![Bytes(b"bob\r\n"), Bytes(GET)], vec![strings(&["Invalid key"])], false),
        ("empty lists", vec![Bytes(b"bob(l.].(lp0\n.]q\0.")], vec![strings(&[]); 4], false),
        ("in use", vec![Bytes(b"taken"), Quiet, Bytes(GET), Bytes(GET)], invalid(), true),
        ("not allowed", vec![Bytes(b"a\tb"), Quiet, Bytes(GET)], invalid(), true),
        ("no UTF-8", vec![Bytes(b"\xff"), Quiet, Bytes(GET)], invalid(), true),
        ("none", vec![Bytes(GET)], invalid(), true),
        (
            "no words of its own",
            vec![Bytes(b"late"), Quiet, Bytes(GET)],
            vec![strings(&["Error: no: SERVER_FULL"])],
            true,
        ),
        ("too long", vec![Bytes(&long)], vec![illegal()], true),
        ("the end", vec![Bytes(b"bob"), End], vec![], true),
        (
            "the end of a pickle is missing",
            vec![Bytes(b"bob"), Quiet, Bytes(&GET[..9]), End],
            vec![illegal()],
            true,
        ),
        (
            "an opcode is cut",
            vec![Bytes(b"bob"), Quiet, Bytes(b"\x80"), End],
            vec![illegal()],
            true,
        ),
    ] {
        let heard = stream("pickle", UpgradePolicy::Managers, &feeds);
        assert_eq!((heard.writes, heard.closed), (want, closed), "{name}");
    }
}

#[test]
fn managers_read_others() {
    let other = |user: &str| {
        let field = |name: &str, value: &str| format!("V{name}\nV{value}\ns");
        format!(
            "(d{}{}{}a",
            field("method", "GetOther"),
            field("username", user),
            field("key", "city")
        )
    };
    let pickle =
        format!("(l(dVmethod\nVupgrade\nsa{}{}{}.", other("anuran"), other("bob"), other("eve"));
    let feeds = [Bytes(b"bob"), Quiet, Bytes(pickle.as_bytes())];
    let heard = stream("pickle", UpgradePolicy::Open, &feeds);
    assert_eq!(
        heard.writes,
        [strings(&["mode change successfull", "Kolkata", NONE, "Invalid username"])]
    );
}

#[test]
fn a_reply_stops_at_4_mib() {
    // One value of 60,000 bytes, read a thousand times.
    let put = [
        &b"](}(X\x06\0\0\0methodX\x03\0\0\0putX\x03\0\0\0keyX\x01\0\0\0a\
            X\x05\0\0\0valueX\x60\xea\0\0"[..],
        &[b'v'; 60_000],
        b"ue.",
    ];
    let get = [
        &b"](}(X\x06\0\0\0methodX\x03\0\0\0getX\x03\0\0\0keyX\x01\0\0\0auq\0"[..],
        &b"h\0".repeat(999),
        b"e.",
    ];
    let heard = after_name(&[Bytes(&put.concat()), Bytes(&get.concat())]);
    assert_eq!(heard.writes[0], strings(&[DONE]));
    let value = "v".repeat(60_000);
    let n_whole = (4 << 20) / 60_005;
    let over = "Error: the reply is over 4 MiB; ask for fewer keys at a time";
    assert_eq!(
        heard.writes[1],
        strings(&[vec![value.as_str(); n_whole], vec![over; 1_000 - n_whole]].concat())
    );
    // Further reads were not run: there were the name, a put, the gets that fit, and the one that
    // did not.
    assert_eq!((heard.actions.len(), heard.closed), (2 + n_whole + 1, false));
}
