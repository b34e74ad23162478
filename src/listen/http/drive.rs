//! One HTTP connection: its deadlines, its age, and its end.

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

use super::metered::{ConnectionBudget, MeteredService};
use super::{Bounds, HttpService};
use crate::fast_path::executor::{InlineConnection, InlineExecutor};
use crate::fast_path::if_woken::PollIfWoken;
use crate::listen::{Cause, ConnInfo, Permit};

/// Maximum number of streams that the peer reset and that are still being taken down, and of resets
/// by the server. Beyond it the connection ends as a rapid-reset attack (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 128;
/// Maximum response bytes buffered for one slow stream.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// Size of an HTTP/1 connection's buffer, in bytes; hyper needs at least 8 KiB.
const HTTP1_BUFFER: usize = 64 << 10;
/// Minimum time for the streams of an old connection to end after they were told to.
const MIN_GRACE: Duration = Duration::from_secs(1);

/// A new connection's address, limits and signals.
pub(super) struct ConnectionContext {
    pub(super) info: ConnInfo,
    /// Its place in the connection limit, given back on drop.
    pub(super) permit: Permit,
    pub(super) bounds: Arc<Bounds>,
    pub(super) draining: CancellationToken,
}

pub(super) fn http2<IO, S>(
    stream: IO,
    service: &S,
    context: ConnectionContext,
) -> impl Future<Output = ()> + Send + use<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &context.bounds.limits;
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
        // No gRPC implementation sends or reads the header.
        .auto_date_header(false);
    let budget = ConnectionBudget::of(&context.bounds.unsent);
    let service = MeteredService::new(service.connection(context.info.clone()), &budget);
    let connection =
        Box::pin(InlineConnection::new(builder.serve_connection(TokioIo::new(stream), service)));
    run(connection, budget, context)
}

pub(super) fn http1<IO, S>(
    stream: IO,
    service: &S,
    context: ConnectionContext,
) -> impl Future<Output = ()> + Send + use<IO, S>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService,
{
    let limits = &context.bounds.limits;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_header_size(usize::try_from(limits.header_bytes).unwrap_or(HTTP1_BUFFER))
        .max_buf_size(HTTP1_BUFFER);
    let budget = ConnectionBudget::of(&context.bounds.unsent);
    let service = MeteredService::new(service.connection(context.info.clone()), &budget);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    run(connection, budget, context)
}

/// A connection of either HTTP version.
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

/// The next event of a connection.
enum ConnectionEvent {
    Ended(hyper::Result<()>),
    /// The client does not read its responses.
    TooSlow,
    /// The server is stopping.
    Draining,
    /// The given time has passed.
    Passed,
}

/// Waits for the end of the connection, or for one of the other events. Those are polled only after
/// they have fired.
async fn next_event<C: Graceful>(
    connection: Pin<&mut C>,
    budget: &ConnectionBudget,
    draining: &CancellationToken,
    time: Duration,
) -> ConnectionEvent {
    let others = PollIfWoken::new(async {
        tokio::select! {
            biased;
            () = budget.evicted.cancelled() => ConnectionEvent::TooSlow,
            () = draining.cancelled() => ConnectionEvent::Draining,
            () = sleep(time) => ConnectionEvent::Passed,
        }
    });
    tokio::select! {
        biased;
        event = others => event,
        result = connection => ConnectionEvent::Ended(result),
    }
}

/// The connection is boxed: passed by value, each of the futures around it would have room for one.
async fn run<C: Graceful>(
    mut connection: Pin<Box<C>>,
    budget: Arc<ConnectionBudget>,
    context: ConnectionContext,
) {
    let ConnectionContext { info, permit: _permit, bounds, draining } = context;
    let (peer, limits) = (info.peer, &bounds.limits);
    let age = limits.age.mul_f64(rand::random_range(0.9..1.1));
    let mut event = next_event(connection.as_mut(), &budget, &draining, age).await;
    if let ConnectionEvent::Passed = event {
        tracing::debug!(%peer, "the connection is old; the client is asked to open another");
        connection.as_mut().graceful();
        event = next_event(connection.as_mut(), &budget, &draining, limits.closing_notice).await;
    }
    // When the whole server stops, its caller cuts the connections at the end of the grace period.
    let (cause, most) = match event {
        ConnectionEvent::Passed => (Cause::Age, Some(limits.grace.max(MIN_GRACE))),
        ConnectionEvent::Draining => {
            connection.as_mut().graceful();
            (Cause::Stop, None)
        }
        ConnectionEvent::Ended(_) | ConnectionEvent::TooSlow => return log_end(&info, event),
    };
    info.closing.cancel(cause);
    let cut = async {
        match most {
            Some(most) => sleep(most).await,
            None => std::future::pending().await,
        }
    };
    let event = tokio::select! {
        biased;
        () = budget.evicted.cancelled() => ConnectionEvent::TooSlow,
        result = connection => ConnectionEvent::Ended(result),
        () = cut => ConnectionEvent::Passed,
    };
    log_end(&info, event);
}

/// Logs the end of a connection.
fn log_end(info: &ConnInfo, event: ConnectionEvent) {
    let peer = info.peer;
    match event {
        ConnectionEvent::Ended(Ok(())) => tracing::trace!(%peer, "the connection ended"),
        ConnectionEvent::Ended(Err(error)) => {
            tracing::debug!(%peer, error = &error as &dyn StdError, "the connection ended");
        }
        ConnectionEvent::TooSlow => {
            let why = "it does not read, and the memory for responses is needed";
            tracing::debug!(%peer, "closed: {why}")
        }
        ConnectionEvent::Draining | ConnectionEvent::Passed => {
            tracing::debug!(%peer, "the connection was cut: old, with streams still open");
        }
    }
}
