//! The channel to the server, and what a peer that gives no gRPC answer is.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::args::{Settings, TlsPem};
use super::failure::{Failure, Result};
use super::server::Server;

/// Deadline for a peer to accept, and then to show its protocol.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum bytes of an answer that are examined.
const MAX_START: usize = 1 << 10;

/// HTTP/2's client preface and an empty SETTINGS frame (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A channel that connects at its first call, and again when the connection is lost.
pub(super) fn channel(settings: &Settings) -> Result<Channel> {
    let invalid = |error: tonic::transport::Error| {
        Failure::usage(format!("{}: {}", settings.server, root(&error)))
    };
    let mut endpoint = Endpoint::from_shared(settings.server.to_string())
        .map_err(invalid)?
        .connect_timeout(settings.timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .user_agent(concat!("kvrpc-cli/", env!("CARGO_PKG_VERSION")))
        .map_err(invalid)?;
    if settings.server.tls {
        endpoint = endpoint.tls_config(tls(&settings.tls)).map_err(invalid)?;
    }
    Ok(endpoint.connect_lazy())
}

fn tls(files: &TlsPem) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new();
    config = match &files.ca {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_native_roots(),
    };
    if let Some((cert, key)) = &files.identity {
        config = config.identity(Identity::from_pem(cert, key));
    }
    config
}

/// The last cause of an error: what really happened.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Protocol of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Http2,
    Tls,
    Http1,
    /// It answered something else, or closed.
    Other,
    /// It did not answer in time.
    Silent,
}

/// Greets a peer as an HTTP/2 client without TLS and looks at its first bytes. `None`: it cannot be
/// reached.
pub(super) async fn probe(server: &Server) -> Option<Peer> {
    let stream = timeout(PROBE_TIMEOUT, TcpStream::connect(server.address())).await.ok()?.ok()?;
    Some(greet(stream).await)
}

async fn greet(mut stream: TcpStream) -> Peer {
    // A peer that closes at once may still have answered.
    let _ = stream.write_all(PREFACE).await;
    let mut start = Vec::with_capacity(MAX_START);
    let mut limited = stream.take(MAX_START as u64);
    let end = Instant::now() + PROBE_TIMEOUT;
    loop {
        if let Some(peer) = kind(&start) {
            return peer;
        }
        match timeout_at(end, limited.read_buf(&mut start)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => {
                return if is_settings(&start) { Peer::Http2 } else { Peer::Other };
            }
            Err(_) if start.is_empty() => return Peer::Silent,
            Err(_) => return if is_settings(&start) { Peer::Http2 } else { Peer::Other },
        }
    }
}

/// Returns true for the beginning of an HTTP/2 server's first frame: SETTINGS, below 64 KiB.
fn is_settings(start: &[u8]) -> bool {
    matches!(start, [0, _, _, 4, ..])
}

/// Returns the protocol of an answer that begins so, or `None` if more bytes are needed.
fn kind(start: &[u8]) -> Option<Peer> {
    match start {
        // A TLS alert or handshake record, version 3.x.
        [0x15 | 0x16, 3, ..] => return Some(Peer::Tls),
        _ if start.starts_with(b"HTTP/") => return Some(Peer::Http1),
        _ if start.len() < 9 => return None,
        _ if !is_settings(start) => return Some(Peer::Other),
        _ => {}
    }
    let [_, high, low, ..] = start else { return None };
    let behind = start.get(9 + usize::from(u16::from_be_bytes([*high, *low]))..)?;
    match behind {
        // GOAWAY with its last stream and INADEQUATE_SECURITY: the port wants TLS (RFC 9113,
        // section 9.2).
        [_, _, _, 7, _, _, _, _, _, _, _, _, _, 0, 0, 0, 0x0c, ..] => Some(Peer::Tls),
        [_, _, _, 7, ..] if behind.len() < 17 => None,
        [_, _, _, _, ..] => Some(Peer::Http2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Peer, kind};

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";
        let behind = |frame: &[u8]| [SETTINGS, frame].concat();
        for (start, want) in [
            (SETTINGS.to_vec(), None),
            (behind(b"\0\0\0\x04\x01\0\0\0\0"), Some(Peer::Http2)),
            (behind(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0c"), Some(Peer::Tls)),
            (behind(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b"), Some(Peer::Http2)),
            (behind(b"\0\0\x08\x07\0\0\0\0\0"), None),
            (b"\x15\x03\x03\0\x02\x02\x32".to_vec(), Some(Peer::Tls)),
            (b"HTTP/1.1 ".to_vec(), Some(Peer::Http1)),
            (b"Illegal command".to_vec(), Some(Peer::Other)),
            (b"Illegal".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(kind(&start), want, "{start:?}");
        }
    }
}
