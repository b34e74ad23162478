//! Connection loops without sockets, and a small service behind them: with these the tests and the
//! fuzz targets drive the codecs.

mod service;

use bytes::BytesMut;
use kvrpc::dialect::codec::{
    AfterReply, Decoded, Input, MAX_REPLY_BYTES, Message, Payload, StreamCodec,
};
use kvrpc::dialect::{Transport, find};
use kvrpc::model::UpgradePolicy;

pub use service::Peer;

/// Input from a client.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a> {
    Bytes(&'a [u8]),
    Quiet,
    End,
}

/// Output to a client: one write for each answered request, and whether the connection was closed.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    pub actions: Vec<String>,
    pub writes: Vec<Vec<u8>>,
    pub closed: bool,
}

pub fn stream_codec(name: &str) -> Box<dyn StreamCodec> {
    match find(name).unwrap().transport {
        Transport::Tcp(open) => open(),
        Transport::WebSocket(_) | Transport::Udp(_) => panic!("{name} is no stream"),
    }
}

/// Runs a TCP connection.
pub fn stream(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>]) -> Heard {
    heard(name, policy, feeds, false)
}

/// Runs a TCP connection that sends the available part of a reply before the rest is produced.
pub fn stream_in_pieces(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>]) -> Heard {
    heard(name, policy, feeds, true)
}

fn heard(name: &str, policy: UpgradePolicy, feeds: &[Feed<'_>], in_pieces: bool) -> Heard {
    let (mut codec, mut peer, mut heard) =
        (stream_codec(name), Peer::new("48106", policy), Heard::default());
    let mut input = BytesMut::new();
    for feed in feeds {
        let event = match feed {
            Feed::Bytes(bytes) => {
                input.extend_from_slice(bytes);
                Input::Bytes
            }
            Feed::Quiet => Input::Quiet,
            Feed::End => Input::End,
        };
        heard.closed =
            drain(codec.as_mut(), &mut peer, &mut input, event, &mut heard.writes, in_pieces);
        if heard.closed {
            break;
        }
    }
    heard.actions = peer.actions;
    heard
}

fn drain(
    codec: &mut dyn StreamCodec,
    peer: &mut Peer,
    input: &mut BytesMut,
    event: Input,
    writes: &mut Vec<Vec<u8>>,
    in_pieces: bool,
) -> bool {
    loop {
        match codec.decode(input, event) {
            Decoded::Pending { .. } => return event == Input::End,
            Decoded::Close => return true,
            Decoded::Request => {}
        }
        let (mut out, mut reply) = (BytesMut::new(), Vec::new());
        while let Some(action) = codec.next(&mut out) {
            codec.answer(peer.run(action), &mut out);
            if in_pieces {
                reply.extend_from_slice(&out.split());
            }
        }
        let next = codec.finish(&mut out);
        reply.extend_from_slice(&out);
        assert!(reply.len() < 2 * MAX_REPLY_BYTES, "a reply of {} bytes", reply.len());
        if !reply.is_empty() {
            writes.push(reply);
        }
        if next == AfterReply::Close {
            return true;
        }
    }
}

/// Runs a WebSocket connection; UTF-8 messages are sent as text, unless `binary`.
pub fn messages(
    name: &str,
    policy: UpgradePolicy,
    messages: &[Payload<'_>],
) -> (Heard, Vec<Message>) {
    let Transport::WebSocket(open) = find(name).unwrap().transport else {
        panic!("{name} is no WebSocket dialect")
    };
    let (mut codec, mut peer, mut heard, mut replies) =
        (open(), Peer::new("nobody", policy), Heard::default(), Vec::new());
    for message in messages {
        assert_eq!(codec.decode(*message), Decoded::Request);
        while let Some(action) = codec.next() {
            codec.answer(peer.run(action));
        }
        let (reply, next) = codec.finish();
        replies.extend(reply);
        heard.closed = next == AfterReply::Close;
        if heard.closed {
            break;
        }
    }
    heard.actions = peer.actions;
    (heard, replies)
}

/// Runs a UDP exchange.
pub fn datagram(name: &str, datagram: &[u8], source_port: u16) -> Option<String> {
    let Transport::Udp(open) = find(name).unwrap().transport else {
        panic!("{name} is no UDP dialect")
    };
    let (mut codec, mut peer) = (open(), Peer::new("nobody", UpgradePolicy::Managers));
    if codec.decode(datagram, source_port) == Decoded::Close {
        return None;
    }
    while let Some(action) = codec.next() {
        codec.answer(peer.run(action));
    }
    codec.finish()
}

/// Feeds any bytes to any protocol; the first byte selects how they are cut. Entry of the fuzz
/// targets.
pub fn any(name: &str, data: &[u8]) {
    let (cut, data) = data.split_first().map_or((0, data), |(cut, data)| (usize::from(*cut), data));
    match find(name).unwrap().transport {
        Transport::Tcp(_) => {
            let mut feeds = Vec::new();
            for piece in data.chunks(cut.max(1)) {
                feeds.push(Feed::Bytes(piece));
                if cut > 127 {
                    feeds.push(Feed::Quiet);
                }
            }
            feeds.push(Feed::End);
            assert!(stream(name, UpgradePolicy::Open, &feeds).closed);
        }
        Transport::WebSocket(_) => {
            let mut payloads = vec![Payload::Text("fuzz")];
            for piece in data.split(|byte| usize::from(*byte) == cut) {
                payloads.push(match std::str::from_utf8(piece) {
                    Ok(text) if cut % 2 == 0 => Payload::Text(text),
                    _ => Payload::Binary(piece),
                });
            }
            messages(name, UpgradePolicy::Open, &payloads[usize::from(cut > 127)..]);
        }
        Transport::Udp(_) => {
            if let Some(reply) = datagram(name, data, 40_000) {
                assert!(reply.len() <= data.len() + 1);
            }
        }
    }
}
