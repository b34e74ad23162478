//! A dialect of datagrams.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::Member;
use crate::dialect::codec::{DatagramCodec, Decoded, MAX_DATAGRAM_BYTES};
use crate::dialect::{Dialect, Transport};
use crate::listen::BoundDatagrams;
use crate::service::Service;

/// Answers to one source in a second, and at once.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Sources that are remembered. While so many are active, new ones get no answer: their addresses
/// may be made up.
const MAX_SOURCES: usize = 10_000;
/// How often those at rest are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// The wait after an error that is of no single datagram.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Answers datagrams until it is dropped.
///
/// # Errors
/// The socket cannot be registered with the runtime, or the dialect is none of datagrams.
pub async fn serve(
    bound: BoundDatagrams,
    service: Arc<Service>,
    dialect: &'static Dialect,
) -> io::Result<()> {
    let Transport::Udp(open) = dialect.transport else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let socket = UdpSocket::from_std(bound.socket)?;
    let (mut codec, mut sources) = (open(), Sources::new());
    let calls = Arc::new(service.metrics().door(dialect.name));
    let member = |peer| Member::new(Arc::clone(&service), Arc::clone(&calls), dialect, peer);
    // One byte more than is answered: what fills it was longer.
    let mut buffer = [0; MAX_DATAGRAM_BYTES + 1];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(door = dialect.name, %error, "a datagram could not be received");
                sleep(BACK_OFF).await;
                continue;
            }
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let Some(reply) = answer(codec.as_mut(), datagram, peer, member, &mut sources).await else {
            continue;
        };
        // What does not fit the system's buffer now is lost, as any datagram may be.
        if let Err(error) = socket.try_send_to(reply.as_bytes(), peer) {
            tracing::debug!(door = dialect.name, %peer, %error, "an answer could not be sent");
        }
    }
}

async fn answer(
    codec: &mut dyn DatagramCodec,
    datagram: &[u8],
    peer: SocketAddr,
    member: impl Fn(SocketAddr) -> Member,
    sources: &mut Sources,
) -> Option<String> {
    if codec.decode(datagram, peer.port()) == Decoded::Close || !sources.admit(peer.ip()) {
        return None;
    }
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let mut member = member(peer);
    while let Some(action) = codec.next() {
        let answer = member.run(action).await;
        codec.answer(answer);
    }
    codec.finish()
}

/// How much each source may ask.
struct Sources {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    forgot: Instant,
}

impl Sources {
    fn new() -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(PER_SECOND)), forgot: Instant::now() }
    }

    fn admit(&mut self, source: IpAddr) -> bool {
        if self.limiter.len() >= MAX_SOURCES {
            if self.forgot.elapsed() >= FORGET_EVERY {
                self.limiter.retain_recent();
                self.limiter.shrink_to_fit();
                self.forgot = Instant::now();
            }
            if self.limiter.len() >= MAX_SOURCES {
                return false;
            }
        }
        self.limiter.check_key(&network(source)).is_ok()
    }
}

/// One host has a whole /64 of IPv6 addresses (RFC 4291, section 2.5.4).
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_share_and_no_source_takes_anothers() {
        let mut sources = Sources::new();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let admitted = (0..1_000).filter(|_| sources.admit(greedy)).count();
        assert!((100..200).contains(&admitted), "{admitted}");
        assert!(sources.admit(other));
    }

    #[test]
    fn made_up_sources_take_no_memory_beyond_the_bound() {
        let mut sources = Sources::new();
        for made_up in 0..=u32::try_from(2 * MAX_SOURCES).unwrap() {
            sources.admit(IpAddr::from(made_up.to_be_bytes()));
        }
        assert!(sources.limiter.len() <= MAX_SOURCES);
    }
}
