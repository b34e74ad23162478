//! One HTTP connection from its first request to its last: deadlines, age, and how it is told to
//! end.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService as HyperService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::counted::{CountedService, Ledger};
use super::{Bounds, HttpService};
use crate::fast_path::executor::{InlineConnection, InlineExecutor};
use crate::fast_path::if_woken::PollIfWoken;
use crate::listen::{ConnInfo, Permit};

/// Streams that the peer reset and that are still being taken down, and resets of ours, before the
/// connection is ended as a rapid-reset attack (CVE-2023-44487 and its kin).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 128;
/// Response bytes kept for one slow stream.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// An HTTP/1 connection's buffer; hyper wants at least 8 KiB.
const HTTP1_BUFFER: usize = 64 << 10;
/// What streams get after they were told that an old connection ends.
const CUT_AFTER: Duration = Duration::from_secs(1);

/// A connection that is about to begin, and what holds it to its bounds.
pub(super) struct Begun {
    pub(super) info: ConnInfo,
    /// Its place, given back when it has ended.
    pub(super) permit: Permit,
    pub(super) bounds: Arc<Bounds>,
    pub(super) draining: CancellationToken,
}

pub(super) fn http2<IO, S>(
    stream: IO,
    service: &S,
    begun: Begun,
) -> impl Future<Output = ()> + Send + use<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &begun.bounds.limits;
    let mut builder = http2::Builder::new(InlineExecutor);
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
    let ledger = Ledger::of(&begun.bounds.unsent);
    let service = CountedService::new(service.connection(begun.info.clone()), &ledger);
    let connection =
        Box::pin(InlineConnection::new(builder.serve_connection(TokioIo::new(stream), service)));
    run(connection, ledger, begun)
}

pub(super) fn http1<IO, S>(
    stream: IO,
    service: &S,
    begun: Begun,
) -> impl Future<Output = ()> + Send + use<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &begun.bounds.limits;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_header_size(usize::try_from(limits.header_bytes).unwrap_or(HTTP1_BUFFER))
        .max_buf_size(HTTP1_BUFFER);
    let ledger = Ledger::of(&begun.bounds.unsent);
    let service = CountedService::new(service.connection(begun.info.clone()), &ledger);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    run(connection, ledger, begun)
}

/// What both versions' connections have in common.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Asks for no more requests; the connection ends once those that run have.
    fn graceful(self: Pin<&mut Self>);
}

impl<IO, S> Graceful for http2::Connection<IO, S, InlineExecutor>
where
    S: HyperService<Incoming, Error: Into<Box<dyn StdError + Send + Sync>>, ResBody: 'static>,
    Self: Future<Output = hyper::Result<()>>,
    IO: Read + Write + Unpin,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn StdError + Send + Sync>>,
    InlineExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
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

impl<C: Graceful + Unpin> Graceful for InlineConnection<C> {
    fn graceful(self: Pin<&mut Self>) {
        self.connection().graceful();
    }
}

/// What happens to a connection.
enum Happened {
    Ended(hyper::Result<()>),
    /// The client does not take its responses.
    TooSlow,
    /// The server stops.
    Draining,
    /// So much time went by.
    Passed,
}

/// What happens first, the end of the connection or one of the things beside it, which are not
/// looked at until they happen.
async fn first<C: Graceful>(
    connection: Pin<&mut C>,
    ledger: &Ledger,
    draining: &CancellationToken,
    time: Duration,
) -> Happened {
    let beside = PollIfWoken::new(async {
        tokio::select! {
            biased;
            () = ledger.evicted.cancelled() => Happened::TooSlow,
            () = draining.cancelled() => Happened::Draining,
            () = sleep(time) => Happened::Passed,
        }
    });
    tokio::select! {
        biased;
        happened = beside => happened,
        result = connection => Happened::Ended(result),
    }
}

/// The connection is boxed: passed by value, each of the futures around it would have room for one.
async fn run<C: Graceful>(mut connection: Pin<Box<C>>, ledger: Arc<Ledger>, begun: Begun) {
    let Begun { info, permit: _permit, bounds, draining } = begun;
    let (peer, limits) = (info.peer, &bounds.limits);
    let age = limits.age.mul_f64(rand::random_range(0.9..1.1));
    let mut happened = first(connection.as_mut(), &ledger, &draining, age).await;
    if let Happened::Passed = happened {
        tracing::debug!(%peer, "the connection is old; the client is asked to open another");
        connection.as_mut().graceful();
        happened = first(connection.as_mut(), &ledger, &draining, limits.closing_notice).await;
    }
    // What it has is cut after a second if it is old; if the whole server stops, whoever waits for
    // the connections cuts it when the grace period is over.
    let most = match happened {
        Happened::Passed => Some(CUT_AFTER),
        Happened::Draining => {
            connection.as_mut().graceful();
            None
        }
        Happened::Ended(_) | Happened::TooSlow => return tell(&info, happened),
    };
    info.closing.cancel();
    let cut = async {
        match most {
            Some(most) => sleep(most).await,
            None => std::future::pending().await,
        }
    };
    let happened = tokio::select! {
        biased;
        () = ledger.evicted.cancelled() => Happened::TooSlow,
        result = connection => Happened::Ended(result),
        () = cut => Happened::Passed,
    };
    tell(&info, happened);
}

/// How a connection ended.
fn tell(info: &ConnInfo, happened: Happened) {
    let peer = info.peer;
    match happened {
        Happened::Ended(Ok(())) => tracing::trace!(%peer, "the connection ended"),
        Happened::Ended(Err(error)) => {
            tracing::debug!(%peer, error = &error as &dyn StdError, "the connection ended");
        }
        Happened::TooSlow => {
            tracing::debug!(%peer, "closed: it does not read, and the memory for responses is needed")
        }
        Happened::Draining | Happened::Passed => {
            tracing::debug!(%peer, "the connection was cut: old, with streams still open");
        }
    }
}
