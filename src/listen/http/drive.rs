//! One HTTP connection from its first request to its last: deadlines, age, and how it is told to end.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService as HyperService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counted::{CountedService, Ledger};
use super::together::{Driven, Together};
use super::{Bounds, HttpLimits, HttpService};
use crate::listen::ConnInfo;

/// Streams that the peer reset and that are still being taken down, and resets of ours, before the connection is ended
/// as a rapid-reset attack (CVE-2023-44487 and its kin).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 128;
/// Response bytes kept for one slow stream.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// An HTTP/1 connection's buffer; hyper wants at least 8 KiB.
const HTTP1_BUFFER: usize = 64 << 10;
/// What streams get after they were told that an old connection ends.
const CUT_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn http2<IO, S>(stream: IO, service: S, info: ConnInfo, bounds: &Bounds, draining: &CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &bounds.limits;
    let mut builder = http2::Builder::new(Together);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        // No gRPC implementation sends or reads it.
        .auto_date_header(false);
    let ledger = Ledger::of(&bounds.unsent);
    let service = CountedService::new(service.connection(info.clone()), &ledger);
    let connection = Box::pin(Driven::new(builder.serve_connection(TokioIo::new(stream), service)));
    tokio::select! {
        biased;
        () = ledger.evicted.cancelled() => too_slow(&info),
        () = run(connection, &info, limits, draining) => {}
    }
}

pub(super) async fn http1<IO, S>(stream: IO, service: S, info: ConnInfo, bounds: &Bounds, draining: &CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &bounds.limits;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_header_size(usize::try_from(limits.header_bytes).unwrap_or(HTTP1_BUFFER))
        .max_buf_size(HTTP1_BUFFER);
    let ledger = Ledger::of(&bounds.unsent);
    let service = CountedService::new(service.connection(info.clone()), &ledger);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        () = ledger.evicted.cancelled() => too_slow(&info),
        () = run(connection, &info, limits, draining) => {}
    }
}

fn too_slow(info: &ConnInfo) {
    let peer = info.peer;
    tracing::debug!(%peer, "closed: it does not read, and the memory for responses is needed");
}

/// What both versions' connections have in common.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Asks for no more requests; the connection ends once those that run have.
    fn graceful(self: Pin<&mut Self>);
}

impl<IO, S> Graceful for http2::Connection<IO, S, Together>
where
    S: HyperService<Incoming, Error: Into<Box<dyn StdError + Send + Sync>>, ResBody: 'static>,
    Self: Future<Output = hyper::Result<()>>,
    IO: Read + Write + Unpin,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn StdError + Send + Sync>>,
    Together: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn graceful(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<IO, S> Graceful for http1::Connection<IO, S>
where
    S: HyperService<Incoming, Error: Into<Box<dyn StdError + Send + Sync>>, ResBody: 'static>,
    Self: Future<Output = hyper::Result<()>>,
    IO: Read + Write + Unpin,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn graceful(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The connection is boxed: passed by value, each of the futures around it would have room for one.
async fn run<C: Graceful>(
    mut connection: Pin<Box<C>>,
    info: &ConnInfo,
    limits: &HttpLimits,
    draining: &CancellationToken,
) {
    let peer = info.peer;
    let ended = |result: hyper::Result<()>| match result {
        Ok(()) => tracing::trace!(%peer, "the connection ended"),
        Err(error) => tracing::debug!(%peer, error = &error as &dyn StdError, "the connection ended"),
    };
    let age = limits.age.mul_f64(rand::random_range(0.9..1.1));
    tokio::select! {
        result = connection.as_mut() => return ended(result),
        () = draining.cancelled() => {}
        () = sleep(age) => {
            tracing::debug!(%peer, "the connection is old; the client is asked to open another");
            connection.as_mut().graceful();
            tokio::select! {
                result = connection.as_mut() => return ended(result),
                () = draining.cancelled() => {}
                () = sleep(limits.closing_notice) => {
                    info.closing.cancel();
                    return match timeout(CUT_AFTER, connection).await {
                        Ok(result) => ended(result),
                        Err(_) => tracing::debug!(%peer, "the connection was cut: old, with streams still open"),
                    };
                }
            }
        }
    }
    // The whole server stops: whoever waits for the connections cuts it when the grace period is over.
    connection.as_mut().graceful();
    info.closing.cancel();
    ended(connection.await);
}
