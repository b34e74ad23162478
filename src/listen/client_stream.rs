//! A client's connection: bytes that were read too early come again, and its end is no reset.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Maximum time for which a closed connection is still read from.
const LINGER: Duration = Duration::from_secs(1);

/// Stream that yields `first` and then the bytes of `stream`, and whose shutdown discards what the
/// peer still sends until the peer closes too.
///
/// The system resets a connection that is closed with unread bytes, and the reset discards what the
/// peer has not read yet: a response, or the GOAWAY that says which requests were not processed
/// (RFC 9112, section 9.6).
pub(super) struct ClientStream<IO> {
    first: Bytes,
    stream: IO,
    /// Set once the sending side is closed.
    until: Option<Pin<Box<Sleep>>>,
}

impl<IO> ClientStream<IO> {
    /// Creates a stream from which `first` was read already.
    pub(super) const fn new(stream: IO, first: Bytes) -> Self {
        Self { first, stream, until: None }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ClientStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        let length = self.first.len().min(out.remaining());
        out.put_slice(self.first.get(..length).unwrap_or_default());
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes the sending side, then waits until the peer has closed its own.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, until, .. } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let until = until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut bytes = [0; 1 << 10];
        while until.as_mut().poll(cx).is_pending() {
            let mut discarded = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => {}
                // The peer has closed, or is gone: nothing is lost by a reset any more.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    /// A pair of connected sockets: the server's, whose shutdown is tried, and the client's.
    async fn pair() -> (ClientStream<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ClientStream::new(listener.accept().await.unwrap().0, Bytes::new()), client)
    }

    /// The last bytes of a server used to be lost to a client that was sending at that moment.
    #[tokio::test]
    async fn a_client_that_is_sending_reads_the_last_bytes() {
        let (mut server, mut client) = pair().await;
        client.write_all(b"a request that nobody reads").await.unwrap();
        server.write_all(b"goodbye").await.unwrap();
        let closing = tokio::spawn(async move {
            server.shutdown().await.unwrap();
        });
        // Sent after the server's end has closed its sending side: still no reset.
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(client.read(&mut answer).await.unwrap(), 0, "the server closed");
        client.write_all(b"another request").await.unwrap();
        assert!(!closing.is_finished(), "it waits for the client");
        drop(client);
        timeout(Duration::from_secs(10), closing).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_stays_or_sends_for_ever_is_left_after_a_bound() {
        let (mut server, _client) = pair().await;
        timeout(Duration::from_secs(10), server.shutdown()).await.unwrap().unwrap();

        let (mut server, mut client) = pair().await;
        let sending =
            tokio::spawn(async move { while client.write_all(&[0; 4 << 10]).await.is_ok() {} });
        timeout(Duration::from_secs(10), server.shutdown()).await.unwrap().unwrap();
        drop(server);
        timeout(Duration::from_secs(10), sending).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_first_bytes_come_first_however_small_the_reads() {
        for size in 1..8 {
            let mut stream = ClientStream::new(&b"world"[..], Bytes::from_static(b"hello "));
            let (mut all, mut part) = (Vec::new(), vec![0; size]);
            loop {
                match stream.read(&mut part).await.unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&part[..read]),
                }
            }
            assert_eq!(all, b"hello world", "reads of {size}");
        }
    }
}
