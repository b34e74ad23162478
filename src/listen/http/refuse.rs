//! Replies to peers that speak TLS on a plain port or the reverse, in the peer's own protocol.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::first_bytes::FirstBytes;
use crate::listen::client_stream::ClientStream;

const SENTENCE: &str = "this port speaks TLS; use https://";
/// A fatal alert, `protocol_version`, in the record format that every TLS version reads (RFC 8446,
/// section 6).
const TLS_ALERT: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46];
/// HTTP/2's INADEQUATE_SECURITY (RFC 9113, section 7).
const INADEQUATE_SECURITY: u32 = 0x0c;
/// Time that a refused peer has to read the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Answers a TLS client on a plain port.
pub(super) async fn tls_on_plain_port(stream: TcpStream) {
    close_with(stream, TLS_ALERT).await;
}

/// Answers a plain client on a TLS port; a client that speaks no version of HTTP gets no answer.
pub(super) async fn plain_on_tls_port(stream: TcpStream, first: &FirstBytes) {
    if first.is_http2() {
        close_with(stream, &goaway()).await;
    } else if first.may_be_http1() {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{SENTENCE}\n",
            SENTENCE.len() + 1
        );
        close_with(stream, answer.as_bytes()).await;
    }
}

/// Returns an empty SETTINGS frame, which must come first, and a GOAWAY with the sentence as its
/// debug data (RFC 9113, sections 6.5 and 6.8).
fn goaway() -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 0x04, 0, 0, 0, 0, 0];
    const LAST_STREAM: [u8; 4] = [0; 4];
    let length = LAST_STREAM.len() + size_of_val(&INADEQUATE_SECURITY) + SENTENCE.len();
    let mut frames = SETTINGS.to_vec();
    // The length is a 24-bit field, far larger than the sentence needs.
    frames
        .extend_from_slice(&(u32::try_from(length).unwrap_or_default() << 8 | 0x07).to_be_bytes());
    frames.extend_from_slice(&[0; 5]);
    frames.extend_from_slice(&LAST_STREAM);
    frames.extend_from_slice(&INADEQUATE_SECURITY.to_be_bytes());
    frames.extend_from_slice(SENTENCE.as_bytes());
    frames
}

async fn close_with(stream: TcpStream, answer: &[u8]) {
    let mut stream = ClientStream::new(stream, Bytes::new());
    let goodbye = async {
        stream.write_all(answer).await?;
        stream.shutdown().await
    };
    // Errors are ignored: the connection ends anyway.
    let _ = timeout(TIMEOUT, goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goaway_frame_is_as_long_as_it_says() {
        let frames = goaway();
        let goaway = &frames[9..];
        assert_eq!(goaway[..4], [0, 0, u8::try_from(goaway.len() - 9).unwrap(), 0x07]);
        assert_eq!(goaway[13..17], [0, 0, 0, 0x0c]);
        assert!(goaway.ends_with(SENTENCE.as_bytes()));
    }
}
