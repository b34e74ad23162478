//! Pickles that would run code, nest without end or grow: refused at once, with nothing of them
//! run.

use super::peer::Feed;
use super::pickle::{after_name, corpus, illegal, unhex};

use Feed::{Bytes, End};

/// Returns case, reason and bytes. The hex has runs as `,unit*count,`.
pub(super) fn hostile() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    include_str!("corpus/hostile.txt").lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let &[case, why, hex] = words.as_slice() else { panic!("{line}") };
        let pieces = hex.split(',').map(|piece| match piece.split_once('*') {
            Some((unit, count)) => unhex(unit).repeat(count.parse().unwrap()),
            None => unhex(piece),
        });
        (case, why, pieces.flatten().collect())
    })
}

fn logged(why: &str) -> &'static str {
    match why {
        "opcode" => "refused a pickle: opcode 0x",
        "nested" => "refused a pickle: nested over 8 deep",
        "values" => "refused a pickle: over 10,000 values",
        "long" => "refused a pickle: over 64 KiB",
        "malformed" => "refused a pickle: malformed",
        other => panic!("{other} is no reason"),
    }
}

#[test]
fn each_is_refused_and_nothing_runs() {
    let mut count = 0;
    for (case, why, bytes) in hostile() {
        for feeds in [vec![Bytes(&bytes)], bytes.chunks(7).map(Bytes).collect()] {
            let heard = after_name(&feeds);
            assert_eq!((heard.writes, heard.closed), (vec![illegal()], true), "{case}");
            let [_, log] = heard.actions.as_slice() else {
                panic!("{case} ran {:?}", heard.actions)
            };
            assert!(log.contains(logged(why)), "{case}: {log}, not {why}");
        }
        count += 1;
    }
    assert!(count >= 30, "only {count} cases");
}

#[test]
fn the_memo_is_bounded() {
    let writes: Vec<u8> =
        (0..10_001_u32).flat_map(|index| [&b"r"[..], &index.to_le_bytes()].concat()).collect();
    let heard = after_name(&[Bytes(b"]"), Bytes(&writes), Bytes(b".")]);
    assert_eq!((heard.writes, heard.closed), (vec![illegal()], true));
    assert!(heard.actions[1].contains(logged("values")), "{:?}", heard.actions);
}

#[test]
fn a_pickle_may_have_64_kib_and_no_byte_more() {
    for (length, want) in [(65_536, None), (65_537, Some("long"))] {
        // PROTO, an empty list, and bytes that are popped again.
        let filling = vec![b'x'; length - 2 - 1 - 5 - 1 - 1];
        let count = u32::try_from(filling.len()).unwrap().to_le_bytes();
        let pickle = [&b"\x80\x03]B"[..], &count, &filling, b"0."].concat();
        assert_eq!(pickle.len(), length);
        let heard = after_name(&[Bytes(&pickle)]);
        assert_eq!(heard.closed, want.is_some(), "{length}");
        assert_eq!(
            heard.actions.last().is_some_and(|log| log.contains(logged("long"))),
            want.is_some(),
            "{length}"
        );
    }
}

#[test]
fn the_counts_are_exact() {
    for (name, pickle, closed) in [
        ("10,000 values", [&b"]("[..], &b"N".repeat(9_999), b"e."].concat(), false),
        ("10,001 values", [&b"]("[..], &b"N".repeat(10_000), b"e."].concat(), true),
        ("8 deep", [&b"(".repeat(7)[..], b")", &b"t".repeat(7), b"."].concat(), false),
        ("9 deep", [&b"(".repeat(8)[..], b")", &b"t".repeat(8), b"."].concat(), true),
    ] {
        assert_eq!(after_name(&[Bytes(&pickle)]).closed, closed, "{name}");
    }
}

#[test]
fn cut_at_every_byte_nothing_runs() {
    let whole =
        corpus().map(|(case, _, _, bytes)| (case, bytes)).filter(|(_, bytes)| bytes.len() < 300);
    let hostile =
        hostile().map(|(case, _, bytes)| (case, bytes)).filter(|(_, bytes)| bytes.len() < 300);
    for (case, bytes) in whole.chain(hostile) {
        for length in 1..bytes.len() {
            let heard = after_name(&[Bytes(&bytes[..length]), End]);
            assert_eq!(
                (heard.writes, heard.closed),
                (vec![illegal()], true),
                "{case} cut at {length}"
            );
            assert_eq!(heard.actions.len(), 2, "{case} cut at {length} ran {:?}", heard.actions);
        }
    }
}
