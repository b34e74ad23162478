//! The accept loop, one a listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::workers::{Job, Workers};
use super::{Bound, Door, Gate, Refusal};

/// The wait when the system has no descriptor or memory for another connection: accepting again at
/// once would only burn a core.
const BACK_OFF: Duration = Duration::from_millis(50);
/// A peer that is gone without a word is noticed after 20 s of silence and three probes, 10 s
/// apart.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// The same complaint is logged once in this time, with how often it was true.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// One listener, with everything that an accepted connection needs.
pub(super) struct Acceptor {
    listener: TcpListener,
    local: SocketAddr,
    door: Arc<dyn Door>,
    gate: Arc<Gate>,
    workers: Workers,
    complaints: Complaints,
}

impl Acceptor {
    /// Needs the runtime that the loop will run on.
    pub(super) fn new(
        bound: Bound,
        door: Arc<dyn Door>,
        gate: Arc<Gate>,
        workers: Workers,
    ) -> io::Result<Self> {
        let Bound { socket, local } = bound;
        let listener = TcpListener::from_std(socket)?;
        Ok(Self { listener, local, door, gate, workers, complaints: Complaints::default() })
    }

    /// Accepts until `stop`; the listener is closed on return.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.hand_over(stream, peer).await,
                Err(error) if is_of_the_connection(&error) => {
                    tracing::debug!(%error, "a connection failed before it was accepted")
                }
                Err(error) => {
                    self.complaints.warn(
                        self.gate.name(),
                        &format_args!("cannot accept connections: {error}"),
                    );
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(BACK_OFF) => {}
                    }
                }
            }
        }
    }

    async fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.gate.admit(peer) {
            Ok(permit) => permit,
            Err(Refusal::Full) => {
                let cap = self.gate.cap();
                return self.complaints.warn(
                    self.gate.name(),
                    &format_args!("all {cap} connections are in use; closed a new one"),
                );
            }
            Err(Refusal::Source) => {
                let text = format_args!(
                    "{} has its share of the connections already; closed a new one",
                    peer.ip()
                );
                return self.complaints.warn(self.gate.name(), &text);
            }
        };
        if let Err(error) = prepare(&stream) {
            // The peer is gone already, most often.
            return tracing::debug!(%peer, %error, "a connection could not be set up");
        }
        // Where it was connected to, which is more than the listener's address when that is a
        // wildcard.
        let local = stream.local_addr().unwrap_or(self.local);
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                return tracing::debug!(%peer, %error, "a connection could not be handed over");
            }
        };
        let job = Job {
            stream,
            peer: canonical(peer),
            local: canonical(local),
            permit,
            door: Arc::clone(&self.door),
        };
        if !self.workers.deal(job).await {
            self.complaints.warn(
                self.gate.name(),
                &"no worker took up a connection for a second; closed a new connection",
            );
        }
    }
}

/// An IPv4 peer is one, also where it came by an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether only the one connection failed, so that the next can be accepted at once (accept(2),
/// "Error handling").
fn is_of_the_connection(error: &io::Error) -> bool {
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

/// Keeps a flood from filling the log.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn warn(&mut self, door: &str, text: &dyn std::fmt::Display) {
        if self.last.is_some_and(|last| last.elapsed() < COMPLAINT_EVERY) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(door, unsaid = self.unsaid, "{text}");
        *self = Self { last: Some(Instant::now()), unsaid: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(is_of_the_connection(&errno.into()), at_once, "{errno:?}");
        }
    }
}
