//! The channel to the server, and what a peer that gives no gRPC answer is.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::args::{Settings, TlsFiles};
use super::failure::{Failure, Result};
use super::server::Server;

/// How long a peer has to show what it speaks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// HTTP/2's client preface and an empty SETTINGS frame (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A channel that connects at its first call, and again when the connection is lost.
pub(super) fn channel(settings: &Settings) -> Result<Channel> {
    let invalid = |error: tonic::transport::Error| Failure::usage(format!("{}: {}", settings.server, root(&error)));
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

fn tls(files: &TlsFiles) -> ClientTlsConfig {
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

/// What a peer speaks.
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

/// Greets a peer as an HTTP/2 client without TLS and looks at its first bytes. `None`: it cannot be reached.
pub(super) async fn probe(server: &Server) -> Option<Peer> {
    let stream = timeout(PROBE_TIMEOUT, TcpStream::connect(server.address())).await.ok()?.ok()?;
    Some(timeout(PROBE_TIMEOUT, greet(stream)).await.unwrap_or(Peer::Silent))
}

async fn greet(mut stream: TcpStream) -> Peer {
    // A peer that closes at once may still have answered.
    let _ = stream.write_all(PREFACE).await;
    let mut start = [0; 9];
    let mut filled = 0;
    while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).await {
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
    }
    kind(start.get(..filled).unwrap_or_default())
}

fn kind(start: &[u8]) -> Peer {
    match start {
        // Its first frame is SETTINGS, which has a length below 64 KiB.
        [0, _, _, 4, ..] => Peer::Http2,
        // A TLS alert or handshake record, version 3.x.
        [0x15 | 0x16, 3, ..] => Peer::Tls,
        _ if start.starts_with(b"HTTP/") => Peer::Http1,
        _ => Peer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Peer, kind};

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        for (start, want) in [
            (&b"\0\0\x18\x04\0\0\0\0\0"[..], Peer::Http2),
            (b"\x15\x03\x03\0\x02\x02\x32", Peer::Tls),
            (b"HTTP/1.1 ", Peer::Http1),
            (b"Illegal c", Peer::Other),
            (b"", Peer::Other),
        ] {
            assert_eq!(kind(start), want, "{start:?}");
        }
    }
}
