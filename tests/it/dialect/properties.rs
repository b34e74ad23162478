//! Properties for arbitrary bytes.

use kvrpc::dialect::codec::Payload;
use kvrpc::dialect::{ALL, Transport};
use kvrpc::model::{UpgradePolicy, decode_bits, encode_bits};
use proptest::prelude::*;

use super::peer::{self, Feed, messages, stream, stream_in_pieces};
use super::pickle::corpus;

fn stream_dialect() -> impl Strategy<Value = &'static str> {
    let names = ALL
        .iter()
        .filter(|dialect| matches!(dialect.transport, Transport::Tcp(_)))
        .map(|dialect| dialect.name);
    proptest::sample::select(names.collect::<Vec<_>>())
}

/// Bytes that get further than noise: commands of the protocols and whole pickles among noise.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&[u8]] = &[
        b"bob",
        b"taken",
        b"\n",
        b"\r\n",
        b"put a b",
        b"get a",
        b"auth adam bill",
        b"manage anuran get city",
        b" ",
        b"1 + 2",
        b"q",
        b"quit",
        b"\0\0\0\x02",
        b"01",
        b"\0\0\0\0",
        b"\x80\x02",
        b"]q\0",
        b"(lp0\n",
        b"].",
        b"\xff",
        b"GET / HTTP/1.1",
        b"get blob",
        b"upgrade",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(WORDS).prop_map(<[u8]>::to_vec),
        1 => proptest::sample::select(corpus().map(|(.., bytes)| bytes).collect::<Vec<_>>()),
        1 => proptest::collection::vec(any::<u8>(), 0..9),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Returns `bytes` cut at these positions.
fn cut<'a>(bytes: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<Feed<'a>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let starts = std::iter::once(0).chain(places.clone());
    starts.zip(places).map(|(start, end)| Feed::Bytes(&bytes[start..end])).collect()
}

proptest! {
    #[test]
    fn cutting_the_stream_changes_nothing(
        name in stream_dialect(),
        bytes in bytes(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let mut whole = vec![Feed::Bytes(&bytes)];
        let mut pieces = cut(&bytes, &cuts);
        for end in [Feed::Quiet, Feed::End] {
            whole.push(end);
            pieces.push(end);
        }
        let whole = stream(name, UpgradePolicy::Open, &whole);
        prop_assert_eq!(&stream(name, UpgradePolicy::Open, &pieces), &whole);
        prop_assert_eq!(&stream_in_pieces(name, UpgradePolicy::Open, &pieces), &whole);
    }

    #[test]
    fn any_bytes_are_answered_or_refused(data in bytes(), at in 0..ALL.len()) {
        peer::any(ALL[at].name, &data);
    }

    #[test]
    fn bits_read_back(text in any::<String>()) {
        prop_assert_eq!(decode_bits(&encode_bits(&text)).unwrap(), text);
    }

    #[test]
    fn frames_read_back(text in ".{1,200}") {
        let frame = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length[..], bytes].concat()
        };
        let sent = frame(text.as_bytes());
        let encoded = stream("encode", UpgradePolicy::Open, &[Feed::Bytes(&sent)]);
        let decoded = stream("decode", UpgradePolicy::Open, &[Feed::Bytes(&encoded.writes[0])]);
        prop_assert_eq!(&decoded.writes, &[sent]);
    }

    #[test]
    fn what_is_put_is_got(key in "[^\\s\\p{Cc}]{1,20}", value in "[^\\s]{1,40}") {
        let put = format!("put {key} {value}");
        let get = format!("get {key}");
        let sent = [Payload::Text("bob"), Payload::Text(&put), Payload::Text(&get)];
        let (_, replies) = messages("ws-text", UpgradePolicy::Open, &sent);
        prop_assert_eq!(&replies[2], &kvrpc::dialect::codec::Message::Text(value));
    }
}
