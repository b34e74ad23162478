//! Protocols on UDP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::SocketSession;
use crate::dialect::codec::{DatagramCodec, Decoded, MAX_DATAGRAM_BYTES};
use crate::dialect::{Dialect, Transport};
use crate::listen::BoundDatagrams;
use crate::model::source::network;
use crate::service::Service;

/// Maximum number of answers to one source per second, and in one burst.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Maximum number of sources that are tracked. While they are all active, new sources get no
/// answer: their addresses may be forged.
const MAX_SOURCES: usize = 10_000;
/// Minimum interval between removals of inactive sources, and the time after which one counts as
/// inactive.
const PURGE_INTERVAL: Duration = Duration::from_secs(1);
/// Wait after a receive error that is not tied to one datagram.
const RECEIVE_BACKOFF: Duration = Duration::from_millis(50);

/// Answers datagrams until the future is dropped.
///
/// # Errors
/// The socket cannot be registered with the runtime, or the protocol is not one on datagrams.
pub async fn serve(
    bound: BoundDatagrams,
    service: Arc<Service>,
    dialect: &'static Dialect,
) -> io::Result<()> {
    let Transport::Udp(open) = dialect.transport else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let socket = UdpSocket::from_std(bound.socket)?;
    let (mut codec, mut sources) = (open(), SourceLimits::new());
    let calls = Arc::new(service.metrics().protocol(dialect.name));
    let session =
        |peer| SocketSession::new(Arc::clone(&service), Arc::clone(&calls), dialect, peer);
    // One byte more than the maximum: a datagram that fills it was too long.
    let mut buffer = [0; MAX_DATAGRAM_BYTES + 1];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                let protocol = dialect.name;
                tracing::debug!(protocol, %error, "a datagram could not be received");
                sleep(RECEIVE_BACKOFF).await;
                continue;
            }
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let Some(reply) = answer(codec.as_mut(), datagram, peer, session, &mut sources).await
        else {
            continue;
        };
        // An answer that does not fit into the system's buffer is dropped; UDP allows any datagram
        // to be lost.
        if let Err(error) = socket.try_send_to(reply.as_bytes(), peer) {
            tracing::debug!(protocol = dialect.name, %peer, %error, "an answer could not be sent");
        }
    }
}

async fn answer(
    codec: &mut dyn DatagramCodec,
    datagram: &[u8],
    peer: SocketAddr,
    session: impl Fn(SocketAddr) -> SocketSession,
    sources: &mut SourceLimits,
) -> Option<String> {
    if codec.decode(datagram, peer.port()) == Decoded::Close || !sources.admit(peer.ip()) {
        return None;
    }
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let mut session = session(peer);
    while let Some(action) = codec.next() {
        let answer = session.run(action).await;
        codec.answer(answer);
    }
    codec.finish()
}

/// Rate limiters of the sources, each with the time of its latest datagram.
struct SourceLimits {
    tracked: HashMap<IpAddr, (DefaultDirectRateLimiter, Instant)>,
    last_purge: Instant,
}

impl SourceLimits {
    fn new() -> Self {
        Self { tracked: HashMap::new(), last_purge: Instant::now() }
    }

    /// Returns true if the source may have an answer. A source that is tracked keeps its share
    /// while new ones are refused.
    fn admit(&mut self, source: IpAddr) -> bool {
        let (source, now) = (network(source), Instant::now());
        if let Some((limiter, latest)) = self.tracked.get_mut(&source) {
            *latest = now;
            return limiter.check().is_ok();
        }
        if self.tracked.len() >= MAX_SOURCES && now - self.last_purge >= PURGE_INTERVAL {
            // After this time a limiter has its whole burst again, and is equal to a new one.
            self.tracked.retain(|_, (_, latest)| now - *latest < PURGE_INTERVAL);
            self.tracked.shrink_to_fit();
            self.last_purge = now;
        }
        if self.tracked.len() >= MAX_SOURCES {
            return false;
        }
        let limiter = RateLimiter::direct(Quota::per_second(PER_SECOND));
        let admitted = limiter.check().is_ok();
        self.tracked.insert(source, (limiter, now));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_share_and_no_source_takes_anothers() {
        let mut sources = SourceLimits::new();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let admitted = (0..1_000).filter(|_| sources.admit(greedy)).count();
        assert!((100..200).contains(&admitted), "{admitted}");
        assert!(sources.admit(other));
    }

    #[test]
    fn made_up_sources_take_no_memory_beyond_the_bound() {
        let mut sources = SourceLimits::new();
        for made_up in 0..=u32::try_from(2 * MAX_SOURCES).unwrap() {
            sources.admit(IpAddr::from(made_up.to_be_bytes()));
        }
        assert!(sources.tracked.len() <= MAX_SOURCES);
    }

    #[test]
    fn known_sources_are_answered_while_no_more_are_tracked() {
        let mut sources = SourceLimits::new();
        let source = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        assert!((0..MAX_SOURCES).all(|known| sources.admit(source(known))));
        // Without a pause that a purge could use.
        sources.last_purge = Instant::now();
        assert!(!sources.admit(source(MAX_SOURCES)), "a new one");
        assert!((0..MAX_SOURCES).all(|known| sources.admit(source(known))));
    }
}
