//! Detection of a peer's protocol by its first bytes.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Connection preface of HTTP/2 (RFC 9113, section 3.4).
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Content type of a TLS record with a handshake message (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// First bytes of a connection: the whole HTTP/2 preface, or the bytes up to the first that
/// differs.
#[derive(Debug)]
pub(super) struct FirstBytes {
    bytes: [u8; HTTP2.len()],
    length: usize,
}

impl FirstBytes {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(super) fn is_http2(&self) -> bool {
        self.as_slice() == HTTP2
    }

    pub(super) fn is_tls(&self) -> bool {
        is_tls(self.as_slice())
    }

    /// Returns true if the bytes may start an HTTP/1 request, whose method is in capitals.
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

/// Reads until the bytes differ from the HTTP/2 preface or are complete. Returns `None` if the
/// input ends before.
pub(super) async fn read_first_bytes<IO: AsyncRead + Unpin>(
    stream: &mut IO,
) -> io::Result<Option<FirstBytes>> {
    let mut first = FirstBytes { bytes: [0; HTTP2.len()], length: 0 };
    while first.length < HTTP2.len() && HTTP2.starts_with(first.as_slice()) {
        let Some(rest) = first.bytes.get_mut(first.length..) else { break };
        match stream.read(rest).await? {
            0 => return Ok(None),
            read => first.length += read,
        }
    }
    Ok(Some(first))
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
            let got = read_first_bytes(&mut &bytes[..]).await.unwrap().map(|first| {
                let kind = match &first {
                    o if o.is_http2() => "http2",
                    o if o.is_tls() => "tls",
                    o if o.may_be_http1() => "http1",
                    _ => "neither",
                };
                (first.into_bytes().len(), kind)
            });
            assert_eq!(got, wanted, "{name}");
        }
    }
}
