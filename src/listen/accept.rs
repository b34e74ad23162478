//! The accept loop; one per listener.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::workers::{Job, Workers};
use super::{AdmissionError, Bound, ConnectionHandler, ConnectionLimiter};

/// Wait after the system has run out of descriptors or memory for another connection; without it
/// the loop would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Maximum time for which a listener that closes still accepts connections from its backlog.
const EMPTY_BACKLOG_WITHIN: Duration = Duration::from_secs(1);
/// TCP keepalive: a peer that vanished is noticed after 20 s of silence and three probes, 10 s
/// apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// Time after which sent data that is not acknowledged ends a connection: keepalive probes are not
/// sent while there is such data, and the system would try for a quarter of an hour. As long as
/// keepalive takes, which it also bounds.
const USER_TIMEOUT: Duration = Duration::from_secs(50);
/// Interval in which the same warning is logged once, with the number of suppressed ones.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// One listener, with everything that an accepted connection needs.
pub(super) struct Acceptor {
    listener: TcpListener,
    dealer: Dealer,
}

/// Hands accepted connections to the workers.
struct Dealer {
    local: SocketAddr,
    handler: Arc<dyn ConnectionHandler>,
    limiter: Arc<ConnectionLimiter>,
    workers: Workers,
    warnings: WarningThrottle,
}

impl Acceptor {
    /// Creates the loop's state. Must be called within the runtime that the loop will run on.
    pub(super) fn new(
        bound: Bound,
        handler: Arc<dyn ConnectionHandler>,
        limiter: Arc<ConnectionLimiter>,
        workers: Workers,
    ) -> io::Result<Self> {
        let Bound { socket, local } = bound;
        let listener = TcpListener::from_std(socket)?;
        let warnings = WarningThrottle::default();
        Ok(Self { listener, dealer: Dealer { local, handler, limiter, workers, warnings } })
    }

    /// Accepts connections until `stop` is cancelled.
    ///
    /// # Errors
    /// The listener's socket is not usable any more.
    pub(super) async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        self.accept_until(&stop).await?;
        // Closing the listener resets the connections in its backlog, whose clients may have sent
        // requests already: they are accepted, and told that the server stops.
        let Self { listener, mut dealer } = self;
        let listener = listener.into_std()?;
        let until = Instant::now() + EMPTY_BACKLOG_WITHIN;
        while Instant::now() < until {
            match listener.accept() {
                Ok((stream, peer)) => dealer.hand_over(stream, peer).await,
                Err(error) if is_connection_error(&error) => {}
                // Empty, since the socket does not block.
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn accept_until(&mut self, stop: &CancellationToken) -> io::Result<()> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match stream.into_std() {
                    Ok(stream) => self.dealer.hand_over(stream, peer).await,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "a connection could not be handed over");
                    }
                },
                Err(error) if is_connection_error(&error) => {
                    tracing::debug!(%error, "a connection failed before it was accepted")
                }
                Err(error) if is_listener_error(&error) => return Err(error),
                Err(error) => {
                    self.dealer.warnings.warn(
                        self.dealer.limiter.name(),
                        &format_args!("cannot accept connections: {error}"),
                    );
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                    }
                }
            }
        }
    }
}

impl Dealer {
    async fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.limiter.admit(peer) {
            Ok(permit) => permit,
            Err(AdmissionError::Full) => {
                let cap = self.limiter.max();
                return self.warnings.warn(
                    self.limiter.name(),
                    &format_args!("all {cap} connections are in use; closed a new one"),
                );
            }
            Err(AdmissionError::Source) => {
                let text = format_args!(
                    "{} has its share of the connections already; closed a new one",
                    peer.ip()
                );
                return self.warnings.warn(self.limiter.name(), &text);
            }
        };
        if let Err(error) = prepare(&stream) {
            // Usually the peer has closed already.
            return tracing::debug!(%peer, %error, "a connection could not be set up");
        }
        // The local address of the connection says more than the listener's if that is a wildcard.
        let local = stream.local_addr().unwrap_or(self.local);
        let job = Job {
            stream,
            peer: canonical(peer),
            local: canonical(local),
            permit,
            handler: Arc::clone(&self.handler),
        };
        if !self.workers.deal(job).await {
            self.warnings.warn(
                self.limiter.name(),
                &"no worker took up a connection for a second; closed a new connection",
            );
        }
    }
}

/// Returns the IPv4 address of a peer that was mapped into IPv6; other addresses are unchanged.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// Returns true if only the one connection failed, so that the next can be accepted at once
/// (accept(2), "Error handling").
fn is_connection_error(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| {
        matches!(
            errno,
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    })
}

/// Returns true if the listener's socket will never accept again.
fn is_listener_error(error: &io::Error) -> bool {
    Errno::from_io_error(error)
        .is_some_and(|errno| matches!(errno, Errno::BADF | Errno::INVAL | Errno::NOTSOCK))
}

/// Warnings that are logged at most once per [`WARNING_INTERVAL`], so that a flood of connections
/// cannot fill the log.
#[derive(Default)]
struct WarningThrottle {
    last: Option<Instant>,
    unsaid: u64,
}

impl WarningThrottle {
    fn warn(&mut self, listener: &str, text: &dyn std::fmt::Display) {
        if self.last.is_some_and(|last| last.elapsed() < WARNING_INTERVAL) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(listener, unsaid = self.unsaid, "{text}");
        *self = Self { last: Some(Instant::now()), unsaid: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that vanished while data was on its way to it stayed for a quarter of an hour.
    #[test]
    fn a_vanished_peer_is_noticed_within_a_minute_also_with_data_under_way() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        prepare(&accepted).unwrap();
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        let silence = socket.tcp_keepalive_time().unwrap();
        let probing = socket.tcp_keepalive_interval().unwrap() * KEEPALIVE_PROBES;
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(silence + probing, USER_TIMEOUT);
        assert!(USER_TIMEOUT < Duration::from_secs(60));
    }

    #[test]
    fn only_errors_of_the_machine_wait() {
        for (errno, at_once) in [
            (Errno::CONNABORTED, true),
            (Errno::PROTO, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::BADF, false),
        ] {
            assert_eq!(is_connection_error(&errno.into()), at_once, "{errno:?}");
        }
    }
}
