//! The WebSocket protocol on both of its listeners: RFC 6455, by section.

use futures_util::future::join_all;

use super::client::{pickled, server};
use super::wire::{
    BINARY, CLOSE, CONTINUE, FIN, PING, PONG, Seen, TEXT, Wire, closing, frame, header, text,
};

const MISSING: &str = "key not found";
const FORMAT: &str = "wrong message format";
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_LONG: u16 = 1009;

/// Bytes of a client, and everything that it receives until the connection ends; a Close from the
/// server is answered.
struct Case {
    name: String,
    sent: Vec<u8>,
    wanted: Vec<Seen>,
}

fn case(name: impl Into<String>, sent: &[&[u8]], wanted: &[Seen]) -> Case {
    Case { name: name.into(), sent: sent.concat(), wanted: wanted.to_vec() }
}

/// A case in which the server fails the connection with this code, whatever follows.
fn fails(name: impl Into<String>, sent: &[&[u8]], code: u16) -> Case {
    case(name, sent, &[Seen::Close(Some(code))])
}

/// A case in which the client closes after the exchange.
fn serves(name: impl Into<String>, sent: &[&[u8]], wanted: &[Seen]) -> Case {
    let end = frame(FIN | CLOSE, &closing(1000, b""));
    case(name, &[sent, &[&end]].concat(), &[wanted, &[Seen::Close(Some(1000))]].concat())
}

async fn run(dialect: &str, cases: Vec<Case>) {
    let server = server(&[dialect], "").await;
    let running = cases.into_iter().enumerate().map(async |(number, case)| {
        let mut wire = Wire::open(&server, dialect).await;
        wire.send(&frame(FIN | TEXT, format!("user{number}.").as_bytes())).await;
        if dialect == "ws-text" {
            assert_eq!(wire.receive().await, text("success"));
        }
        wire.send(&case.sent).await;
        let mut got = Vec::new();
        loop {
            match wire.receive().await {
                Seen::End => break,
                seen => got.push(seen),
            }
            if got.last() == Some(&Seen::Reset) {
                break;
            }
            if let Some(Seen::Close(Some(code))) = got.last() {
                wire.send(&frame(FIN | CLOSE, &code.to_be_bytes())).await;
            }
        }
        (got != case.wanted)
            .then(|| format!("{}: got {got:?}, wanted {:?}", case.name, case.wanted))
    });
    let wrong: Vec<_> = join_all(running).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{dialect}:\n{}", wrong.join("\n"));
}

/// Cases of frames that are handled below the codecs.
fn of_the_protocol() -> Vec<Case> {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let mut cases = vec![
        fails("5.1 a frame without a mask", &[&header(FIN | TEXT, 1), b"q"], PROTOCOL),
        fails("5.1 a ping without a mask", &[&header(FIN | PING, 0)], PROTOCOL),
        fails("5.2 a length over 2^63", &[&[FIN | TEXT, 0xff], &[0xff; 8], &[0; 4]], TOO_LONG),
        fails("5.4 a continuation of nothing", &[&frame(FIN | CONTINUE, b"a")], PROTOCOL),
        fails(
            "5.4 nor of a control frame",
            &[&frame(FIN | PONG, b""), &frame(CONTINUE, b"a")],
            PROTOCOL,
        ),
        fails(
            "5.4 a text amid a message",
            &[&frame(TEXT, b"a"), &frame(FIN | TEXT, b"b")],
            PROTOCOL,
        ),
        fails(
            "5.4 bytes amid a message",
            &[&frame(TEXT, b"a"), &frame(FIN | BINARY, b"b")],
            PROTOCOL,
        ),
        serves("5.4 a message that never ends", &[&frame(TEXT, b"a"), &frame(CONTINUE, b"")], &[]),
        fails("5.5 a ping of 126 bytes", &[&ping(&[b'x'; 126])], PROTOCOL),
        fails("5.5 a close of 126 bytes", &[&close(&closing(1000, &[b'x'; 124]))], PROTOCOL),
        serves("5.5 a close of 125 bytes ends it", &[&frame(FIN | PONG, &[b'x'; 125])], &[]),
        fails(
            "5.5 a ping in fragments",
            &[&frame(PING, b"a"), &frame(FIN | CONTINUE, b"b")],
            PROTOCOL,
        ),
        fails("5.5 a close in fragments", &[&frame(CLOSE, &closing(1000, b""))], PROTOCOL),
        serves("5.5.2 an empty ping", &[&ping(b"")], &[Seen::Pong(Vec::new())]),
        serves(
            "5.5.3 the payload comes back",
            &[&ping(&[0xff; 125])],
            &[Seen::Pong(vec![0xff; 125])],
        ),
        serves("5.5.3 a pong that nobody asked for", &[&frame(FIN | PONG, b"hello")], &[]),
        case("5.5.1 a close without a code", &[&close(b"")], &[Seen::Close(None)]),
        case(
            "5.5.1 nothing counts behind a close",
            &[&close(b""), &ping(b"x")],
            &[Seen::Close(None)],
        ),
        fails("7.1.5 a code of one byte", &[&close(&[3])], PROTOCOL),
        fails("8.1 a reason that is no text", &[&close(&closing(1000, b"\xff"))], NOT_UTF8),
        // Bytes after the fault must not cost the client the answer.
        fails(
            "7.1.7 a fault with a flood behind it",
            &[&frame(FIN | 3, b""), &vec![0x55; 4 << 20]],
            PROTOCOL,
        ),
        fails(
            "10.4 a frame of a terabyte",
            &[&[FIN | BINARY, 0xff], &(1_u64 << 40).to_be_bytes(), &[0; 4]],
            TOO_LONG,
        ),
    ];
    for bit in [0x40, 0x20, 0x10] {
        cases.push(fails(
            format!("5.2 the reserved bit {bit:#x}"),
            &[&frame(FIN | bit | TEXT, b"q")],
            PROTOCOL,
        ));
        cases.push(fails(
            format!("5.2 the reserved bit {bit:#x}, ping"),
            &[&frame(FIN | bit | PING, b"")],
            PROTOCOL,
        ));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push(fails(
            format!("5.2 the reserved opcode {opcode}"),
            &[&frame(FIN | opcode, b"")],
            PROTOCOL,
        ));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let sent = close(&closing(code, b"bye"));
        cases.push(case(format!("7.4 the code {code}"), &[&sent], &[Seen::Close(Some(code))]));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(fails(
            format!("7.4 no code for a frame: {code}"),
            &[&close(&closing(code, b""))],
            PROTOCOL,
        ));
    }
    cases
}

#[tokio::test]
async fn frames_that_no_dialect_sees() {
    for dialect in ["ws-text", "ws-pickle"] {
        run(dialect, of_the_protocol()).await;
    }
}

#[tokio::test]
async fn messages_of_text() {
    let whole = |payload: &[u8]| frame(FIN | TEXT, payload);
    let pong = |payload: &[u8]| Seen::Pong(payload.to_vec());
    let bytes: Vec<u8> =
        b"get a".iter().enumerate().fold(frame(TEXT, b""), |mut all, (at, byte)| {
            all.extend(frame(if at == 4 { FIN | CONTINUE } else { CONTINUE }, &[*byte]));
            all
        });
    let limit = |length: usize| [b"put a ".to_vec(), vec![b'x'; length - 6]].concat();
    let refused =
        text("error: the message is over 64 KiB (65,536 bytes); no longer one is allowed");
    let mut cases = vec![
        serves("5.2 an empty message", &[&whole(b"")], &[text(FORMAT)]),
        serves("5.2 a length of 16 bits", &[&whole(&[b'x'; 126])], &[text(FORMAT)]),
        serves("5.2 the longest message", &[&whole(&limit(65_536))], &[text("done")]),
        serves(
            "5.4 two fragments",
            &[&frame(TEXT, b"ge"), &frame(FIN | CONTINUE, b"t a")],
            &[text(MISSING)],
        ),
        serves("5.4 a fragment a byte, the first one empty", &[&bytes], &[text(MISSING)]),
        serves(
            "5.4 nothing but empty fragments",
            &[&frame(TEXT, b""), &frame(FIN | CONTINUE, b"")],
            &[text(FORMAT)],
        ),
        serves(
            "5.4 pings amid a message",
            &[
                &frame(TEXT, b"get"),
                &frame(FIN | PING, b"1"),
                &frame(CONTINUE, b" "),
                &frame(FIN | PONG, b"2"),
                &frame(FIN | CONTINUE, b"a"),
            ],
            &[pong(b"1"), text(MISSING)],
        ),
        serves(
            "5.4 one message behind another",
            &[&whole(b"put a b"), &whole(b"get a")],
            &[text("done"), text("b")],
        ),
        case(
            "5.5.1 a close amid a message",
            &[&frame(TEXT, b"get"), &frame(FIN | CLOSE, b"")],
            &[Seen::Close(None)],
        ),
        serves("5.6 text as bytes", &[&frame(FIN | BINARY, b"get a")], &[text(MISSING)]),
        serves("5.6 bytes that are no text", &[&frame(FIN | BINARY, b"\xff")], &[text(FORMAT)]),
        serves(
            "8.1 a character in two fragments",
            &[&frame(TEXT, b"put a \xe0\xa6"), &frame(FIN | CONTINUE, b"\x95"), &whole(b"get a")],
            &[text("done"), text("\u{995}")],
        ),
        fails(
            "8.1 half a character at the end",
            &[&frame(TEXT, b"\xe0"), &frame(FIN | CONTINUE, b"\xa6")],
            NOT_UTF8,
        ),
        fails("8.1 in the first of two fragments", &[&frame(TEXT, b"a\xffb")], NOT_UTF8),
        case(
            "10.4 a message over 64 KiB",
            &[&whole(&limit(65_537))],
            &[refused.clone(), Seen::Close(Some(TOO_LONG))],
        ),
        case(
            "10.4 fragments over 64 KiB together",
            &[&frame(TEXT, &limit(60_000)), &frame(FIN | CONTINUE, &[b'x'; 60_000])],
            &[refused, Seen::Close(Some(TOO_LONG))],
        ),
        fails(
            "10.4 fragments without end",
            &[&frame(TEXT, b""), &frame(CONTINUE, &[b'x'; 60_000]).repeat(5)],
            TOO_LONG,
        ),
    ];
    // A lone byte, overlong, half of a pair, beyond the last code point, cut.
    for wrong in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\xa6"] {
        cases.push(fails(format!("8.1 {wrong:02x?}"), &[&whole(wrong)], NOT_UTF8));
    }
    run("ws-text", cases).await;
}

#[tokio::test]
async fn messages_of_bytes() {
    let get = pickled(&[&[("method", "get"), ("key", "a")]]);
    let (start, end) = get.split_at(20);
    let answer = Seen::Binary(b"\x80\x02](X\x0b\0\0\0Invalid keye.".to_vec());
    let illegal = Seen::Binary(b"\x80\x02](X\x0f\0\0\0Illegal requeste.".to_vec());
    let cases = vec![
        serves(
            "5.4 a pickle in fragments",
            &[&frame(BINARY, start), &frame(FIN | CONTINUE, end)],
            std::slice::from_ref(&answer),
        ),
        serves(
            "5.4 a ping amid a pickle",
            &[&frame(BINARY, start), &frame(FIN | PING, b"1"), &frame(FIN | CONTINUE, end)],
            &[Seen::Pong(b"1".to_vec()), answer],
        ),
        case(
            "7.4.1 no pickle",
            &[&frame(FIN | BINARY, b"x")],
            &[illegal.clone(), Seen::Close(Some(1000))],
        ),
        case(
            "10.4 over 64 KiB",
            &[&frame(FIN | BINARY, &[b'x'; 65_537])],
            &[illegal, Seen::Close(Some(TOO_LONG))],
        ),
    ];
    run("ws-pickle", cases).await;
}
