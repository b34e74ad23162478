//! `hello`, `calc`, `chat`, `encode`, `decode` and `clock`.

use bytes::BytesMut;
use kvrpc::dialect::codec::{ChatEvent, Decoded, Input};
use kvrpc::model::{UpgradePolicy, encode_bits};

use super::peer::{Feed, Peer, datagram, stream, stream_codec};

use Feed::{Bytes, End, Quiet};

/// Name of the case, protocol, input, writes, and whether the connection is closed.
type Case = (&'static str, &'static str, Vec<Feed<'static>>, Vec<&'static str>, bool);

fn check(cases: Vec<Case>) {
    for (name, dialect, feeds, want, closed) in cases {
        let heard = stream(dialect, UpgradePolicy::Managers, &feeds);
        let writes: Vec<String> =
            heard.writes.iter().map(|write| String::from_utf8_lossy(write).into_owned()).collect();
        assert_eq!(
            (writes, heard.closed),
            (want.into_iter().map(str::to_owned).collect(), closed),
            "{dialect}: {name}"
        );
    }
}

#[test]
fn bare_text_is_framed_by_newline_quiet_or_end() {
    const HI: &str = "Whose there?";
    const HI_LINE: &str = "Whose there?\n";
    check(vec![
        ("a line", "hello", vec![Bytes(b"knock knock\n")], vec![HI_LINE], false),
        ("telnet's line", "hello", vec![Bytes(b"knock knock\r\n")], vec![HI_LINE], false),
        ("nothing before it is quiet", "hello", vec![Bytes(b"knock")], vec![], false),
        ("bare", "hello", vec![Bytes(b"knock"), Quiet], vec![HI], false),
        ("bare, in two pieces", "hello", vec![Bytes(b"kno"), Bytes(b"ck"), Quiet], vec![HI], false),
        ("quiet without bytes is nothing", "hello", vec![Quiet, Quiet], vec![], false),
        ("the end", "hello", vec![Bytes(b"knock"), End], vec![HI], true),
        ("the end without bytes", "hello", vec![End], vec![], true),
        ("an empty line is a message", "hello", vec![Bytes(b"\n")], vec![HI_LINE], false),
        (
            "several, the last bare",
            "hello",
            vec![Bytes(b"a\nb\nc"), End],
            vec![HI_LINE, HI_LINE, HI],
            true,
        ),
        (
            "no pause ends one after a newline",
            "hello",
            vec![Bytes(b"a\nb"), Quiet, Bytes(b"c"), Quiet, Bytes(b"d\n")],
            vec![HI_LINE, HI_LINE],
            false,
        ),
        (
            "any bytes",
            "hello",
            vec![Bytes(b"\xff\0"), Quiet, Bytes(b"\x80\n")],
            vec![HI, HI_LINE],
            false,
        ),
    ]);
}

#[test]
fn lines_may_have_64_kib() {
    let line = vec![b'x'; 65_536];
    for (name, feeds, want, closed) in [
        ("just so long", vec![Bytes(&line), Bytes(b"\n")], "Whose there?\n", false),
        ("bare", vec![Bytes(&line), Quiet], "Whose there?", false),
        ("over it", vec![Bytes(&line), Bytes(b"x")], "Whose there?", true),
        ("over it, with an end", vec![Bytes(&line), Bytes(b"x\n")], "Whose there?", true),
        (
            "over it, from one with newlines",
            vec![Bytes(b"\n"), Bytes(&line), Bytes(b"x\n")],
            "Whose there?\n",
            true,
        ),
    ] {
        let heard = stream("hello", UpgradePolicy::Managers, &feeds);
        assert_eq!(
            (heard.writes.last().unwrap().as_slice(), heard.closed),
            (want.as_bytes(), closed),
            "{name}"
        );
    }
}

#[test]
fn calc_calculates() {
    check(vec![
        ("a name has no reply", "calc", vec![Bytes(b"bob"), Quiet], vec![], false),
        (
            "bare",
            "calc",
            vec![Bytes(b"bob"), Quiet, Bytes(b"12 + 13"), Quiet, Bytes(b"3.24 - 45"), Quiet],
            vec!["25.0", "-41.76"],
            false,
        ),
        ("lines", "calc", vec![Bytes(b"bob\n4.5 / -6\n2 * 8\n")], vec!["-0.75\n", "16.0\n"], false),
        (
            "mistakes",
            "calc",
            vec![Bytes(b"bob\n1 / 0\n1 +\n1e308 * 10\nnan + 1\n\n\xff + 1\n")],
            vec![
                "Division by zero\n",
                "Invalid expression\n",
                "Invalid expression\n",
                "Invalid expression\n",
                "Invalid expression\n",
                "Invalid expression\n",
            ],
            false,
        ),
        ("q", "calc", vec![Bytes(b"bob\nq\n1 + 1\n")], vec![], true),
    ]);
    let heard = stream("calc", UpgradePolicy::Managers, &[Bytes(b"b\x1b\nq\n")]);
    assert_eq!(
        heard.actions,
        [r#"Log("the client's name is \"b\\u{1b}\"")"#, r#"Log("Session ended")"#]
    );
}

#[test]
fn chat_logs_in_and_talks() {
    check(vec![
        (
            "a free name has no reply",
            "chat",
            vec![Bytes(b"bob"), Quiet, Bytes(b"hi"), Quiet],
            vec![],
            false,
        ),
        (
            "another name after a bad one",
            "chat",
            vec![
                Bytes(b"taken"),
                Quiet,
                Bytes(b"a\tb"),
                Quiet,
                Bytes(b"\xff"),
                Quiet,
                Bytes(b"bob"),
                Quiet,
            ],
            vec!["Name is already taken", "Invalid name", "Invalid name"],
            false,
        ),
        (
            "no words of its own",
            "chat",
            vec![Bytes(b"late\n")],
            vec!["error: no: SERVER_FULL\n"],
            false,
        ),
        (
            "too fast",
            "chat",
            vec![Bytes(b"bob\nflood\n")],
            vec!["error: no: RATE_LIMITED\n"],
            false,
        ),
        (
            "no text",
            "chat",
            vec![Bytes(b"bob\n\xff\n")],
            vec!["error: the message is not UTF-8; only text is allowed\n"],
            false,
        ),
        ("quit", "chat", vec![Bytes(b"bob\nquit\nhi\n")], vec![], true),
    ]);
    let heard = stream("chat", UpgradePolicy::Managers, &[Bytes(b"bob\nhi all\n\nquitter\n"), End]);
    assert_eq!(heard.actions.len(), 3, "{:?}", heard.actions);
    assert_eq!(heard.actions[1..], [r#"Post("hi all")"#, r#"Post("quitter")"#]);
}

#[test]
fn chat_tells_what_happens_as_its_client_writes() {
    let events = [
        (ChatEvent::Joined("eve"), "eve has joined the chat."),
        (ChatEvent::Message { user: "eve", text: "hi" }, "eve: hi"),
        (
            ChatEvent::Message { user: "eve", text: "hi\r\nbob has left the chat." },
            r"eve: hi\u{d}\u{a}bob has left the chat.",
        ),
        (ChatEvent::Left("eve"), "eve has left the chat."),
        (ChatEvent::Notice("messages were missed"), "error: messages were missed"),
    ];
    for (login, event, end) in [(&b"bob\n"[..], Input::Bytes, "\n"), (b"bob", Input::Quiet, "")] {
        let (mut codec, mut peer) =
            (stream_codec("chat"), Peer::new("nobody", UpgradePolicy::Managers));
        assert_eq!(codec.decode(&mut BytesMut::from(login), event), Decoded::Request);
        while let Some(action) = codec.next(&mut BytesMut::new()) {
            codec.answer(peer.run(action), &mut BytesMut::new());
        }
        for (event, want) in events {
            let mut out = BytesMut::new();
            codec.event(event, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("{want}{end}"));
        }
    }
}

fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(text);
    frame
}

#[test]
fn frames_encode_and_decode() {
    const TOO_LONG: &[u8] =
        b"error: the message is over 64 KiB (65,536 bytes); no longer one is allowed";
    const NOT_UTF8: &[u8] = b"error: the message is not UTF-8; only text is allowed";
    const GROUP: &[u8] = b"error: group 2 of bits is \"2\"; a group is 1 to 8 of 0 and 1";
    let long = "x".repeat(65_536);
    let bits = encode_bits(&long);
    type Case<'a> = (&'a str, &'a str, Vec<u8>, Vec<&'a [u8]>, bool);
    let cases: Vec<Case<'_>> = vec![
        ("text", "encode", frame(b"comm"), vec![b"01100011 01101111 01101101 01101101"], false),
        ("each byte", "encode", frame("é".as_bytes()), vec![b"11000011 10101001"], false),
        (
            "two at once",
            "encode",
            [frame(b"\0"), frame(b"\x01")].concat(),
            vec![b"00000000", b"00000001"],
            false,
        ),
        ("the longest", "encode", frame(long.as_bytes()), vec![bits.as_bytes()], false),
        ("half a frame", "encode", b"\0\0\0\x05comm".to_vec(), vec![], false),
        ("length 0", "encode", b"\0\0\0\0\0\0\0\x01a".to_vec(), vec![], true),
        (
            "over 64 KiB, before it is there",
            "encode",
            b"\0\x01\0\x01".to_vec(),
            vec![TOO_LONG],
            true,
        ),
        ("negative", "decode", b"\xff\xff\xff\xff".to_vec(), vec![TOO_LONG], true),
        ("not UTF-8", "encode", [frame(b"\xff"), frame(b"a")].concat(), vec![NOT_UTF8], true),
        ("bits", "decode", frame(b"1100011 01101111 01101101 01101101"), vec![b"comm"], false),
        ("bits that are no UTF-8", "decode", frame(b"11111111"), vec!["ÿ".as_bytes()], false),
        (
            "no bits",
            "decode",
            [frame(b"1 2"), frame(b"1100001")].concat(),
            vec![GROUP, b"a"],
            false,
        ),
        ("not UTF-8", "decode", frame("é".as_bytes()[..1].as_ref()), vec![NOT_UTF8], true),
    ];
    for (name, dialect, bytes, want, closed) in cases {
        let heard = stream(dialect, UpgradePolicy::Managers, &[Bytes(&bytes), Quiet]);
        let want: Vec<_> = want.into_iter().map(frame).collect();
        assert_eq!((heard.writes, heard.closed), (want, closed), "{dialect}: {name}");
    }
}

#[test]
fn clock_tells_the_time_to_those_who_ask() {
    for (name, request, port, want) in [
        ("the date", &b"SEND_DATE"[..], 40_000, Some("2026-11-21")),
        ("the time", b"SEND_TIME", 40_000, Some("23:59:59")),
        ("anything else", b"SEND_BEER", 1024, Some("Ok")),
        ("one byte", b"\xff", 40_000, Some("Ok")),
        ("nothing", b"", 40_000, None),
        ("the longest", &[b'x'; 1024], 40_000, Some("Ok")),
        ("a longer one", &[b'x'; 1025], 40_000, None),
        ("its own answer", b"Ok", 40_000, None),
        ("its own date", b"2026-11-21", 40_000, None),
        ("its own time", b"00:00:00", 40_000, None),
        ("a service's port", b"SEND_DATE", 1023, None),
        ("nearly its own", b"2026-11-2x", 40_000, Some("Ok")),
    ] {
        let got = datagram("clock", request, port);
        assert_eq!(got.as_deref(), want, "{name}");
        assert!(got.is_none_or(|reply| reply.len() <= request.len() + 1), "{name}: amplifies");
    }
}
