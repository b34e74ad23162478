//! What a peer speaks, told from its first bytes.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A TLS record with a handshake in it (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// The first bytes of a connection: the whole HTTP/2 preface, or as many as it takes to tell that
/// it is none.
#[derive(Debug)]
pub(super) struct Opening {
    bytes: [u8; HTTP2.len()],
    length: usize,
}

impl Opening {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.as_slice() == HTTP2
    }

    pub(super) fn is_tls(&self) -> bool {
        is_tls(self.as_slice())
    }

    /// Whether it may be an HTTP/1 request: those begin with a method in capitals.
    pub(super) fn may_be_http1(&self) -> bool {
        self.as_slice().first().is_some_and(u8::is_ascii_uppercase)
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_slice())
    }
}

pub(super) fn is_tls(bytes: &[u8]) -> bool {
    bytes.first() == Some(&TLS_HANDSHAKE)
}

/// Reads until the bytes differ from the HTTP/2 preface or are all of it; `None` if the input ends
/// before.
pub(super) async fn read_opening<IO: AsyncRead + Unpin>(
    stream: &mut IO,
) -> io::Result<Option<Opening>> {
    let mut opening = Opening { bytes: [0; HTTP2.len()], length: 0 };
    while opening.length < HTTP2.len() && HTTP2.starts_with(opening.as_slice()) {
        let Some(rest) = opening.bytes.get_mut(opening.length..) else { break };
        match stream.read(rest).await? {
            0 => return Ok(None),
            read => opening.length += read,
        }
    }
    Ok(Some(opening))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_what_the_peer_speaks() {
        let http2 = [&HTTP2[..], b"more"].concat();
        for (name, bytes, wanted) in [
            ("HTTP/2", &http2[..], Some((HTTP2.len(), "http2"))),
            ("HTTP/1", b"GET / HTTP/1.1\r\n", Some((16, "http1"))),
            (
                "a method that begins as the preface does",
                b"PROPFIND / HTTP/1.1\r\n",
                Some((21, "http1")),
            ),
            (
                "a preface that goes wrong late",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!",
                Some((24, "http1")),
            ),
            ("TLS", b"\x16\x03\x01\x02\x00", Some((5, "tls"))),
            ("garbage", b"\0", Some((1, "neither"))),
            ("half a preface", b"PRI * HT", None),
            ("nothing", b"", None),
        ] {
            let got = read_opening(&mut &bytes[..]).await.unwrap().map(|opening| {
                let kind = match &opening {
                    o if o.is_http2() => "http2",
                    o if o.is_tls() => "tls",
                    o if o.may_be_http1() => "http1",
                    _ => "neither",
                };
                (opening.into_bytes().len(), kind)
            });
            assert_eq!(got, wanted, "{name}");
        }
    }
}
