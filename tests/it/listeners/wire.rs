//! A WebSocket client that sends any bytes and reports the frames that it receives.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::protocol;
use crate::harness::{Server, connect, within};

/// The key of RFC 6455's example, and its accept value (section 1.3).
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Headers that open a WebSocket.
pub(super) const HEADERS: [(&str, &str); 5] = [
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

pub(super) fn request(line: &str, headers: &[(&str, &str)]) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n")
}

/// FIN bit: this is the message's last frame.
pub(super) const FIN: u8 = 0x80;
pub(super) const CONTINUE: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// Returns a masked frame with its length in as few bytes as possible.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first, payload.len() as u64);
    bytes[1] |= 0x80;
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Returns the header of an unmasked frame.
pub(super) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => bytes.push(length),
        (_, Ok(length)) => bytes.extend([&[126], &length.to_be_bytes()[..]].concat()),
        _ => bytes.extend([&[127], &length.to_be_bytes()[..]].concat()),
    }
    bytes
}

/// Returns the payload of a Close frame.
pub(super) fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// Received from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// A Close frame with its code, if there is one.
    Close(Option<u16>),
    /// End of the connection.
    End,
    /// A reset, which may have cost the client earlier bytes.
    Reset,
}

pub(super) fn text(words: &str) -> Seen {
    Seen::Text(words.to_owned())
}

/// A connection after its handshake.
pub(super) struct Wire(TcpStream);

impl Wire {
    pub(super) async fn open(server: &Server, dialect: &str) -> Self {
        let mut stream = connect(protocol(server, dialect)).await;
        stream.write_all(request("GET / HTTP/1.1", &HEADERS).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(within("the handshake", stream.read_u8()).await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already; its earlier bytes are checked.
        let _ = within("the server reads", self.0.write_all(bytes)).await;
    }

    pub(super) async fn receive(&mut self) -> Seen {
        match within("a frame", self.next()).await {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Seen::Reset,
            seen => seen.unwrap(),
        }
    }

    async fn next(&mut self) -> std::io::Result<Seen> {
        let mut first = [0];
        if self.0.read(&mut first).await? == 0 {
            return Ok(Seen::End);
        }
        let length = match self.0.read_u8().await? {
            126 => usize::from(self.0.read_u16().await?),
            127 => usize::try_from(self.0.read_u64().await?).unwrap(),
            // The mask bit is not masked out: a server must not mask (section 5.1).
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await?;
        assert_eq!(first[0] & !0x0f, FIN, "one frame a message, no reserved bits");
        Ok(match first[0] & 0x0f {
            TEXT => Seen::Text(String::from_utf8(payload).unwrap()),
            BINARY => Seen::Binary(payload),
            PONG => Seen::Pong(payload),
            CLOSE => Seen::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            other => panic!("opcode {other}"),
        })
    }
}
