//! Clients that send exactly the bytes of a test.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    within("the server accepts", TcpStream::connect(address)).await.unwrap()
}

/// Opens a TLS connection to `localhost` at that address; the error is the handshake's.
pub(crate) async fn tls_connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    within(
        "the TLS handshake ends",
        TlsConnector::from(config).connect(name, connect(address).await),
    )
    .await
}

/// Returns all bytes until the peer closes or resets the connection.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = within("the server closes", stream.read_to_end(&mut all)).await;
    all
}

/// Sends bytes on a new connection; returns all bytes until it is closed.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address).await;
    stream.write_all(bytes).await.unwrap();
    String::from_utf8_lossy(&read_all(&mut stream).await).into_owned()
}

/// Opens an HTTP/2 connection; its driver ends with the connection.
pub(crate) async fn http2<IO>(
    stream: IO,
) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(driver))
}

/// Opens an HTTP/2 connection for requests with a body.
pub(crate) async fn http2_full(
    stream: TcpStream,
) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(driver))
}
