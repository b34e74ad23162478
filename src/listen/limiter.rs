//! The connection limiter: a cap for each protocol's connections, and the rule that selects a
//! connection to close when it is full.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::source::network;

/// Maximum number of connections that were told to close and are still open. Beyond it, new
/// connections are refused.
const MAX_LEAVING: usize = 64;

/// Limits a protocol's connections to `max`, and those from one source beyond loopback to a quarter
/// of that.
///
/// At the limit, the oldest connection that was never marked active is closed in favour of a new
/// one; if all are active, the new one is refused. A source is an IPv4 address or an IPv6 /64, the
/// network that one host is assigned.
#[derive(Debug)]
pub struct ConnectionLimiter {
    name: &'static str,
    max: usize,
    max_per_source: usize,
    state: Mutex<Admissions>,
    refused: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Admissions {
    next: u64,
    open: usize,
    /// Connections that were told to close.
    leaving: HashSet<u64>,
    by_source: HashMap<IpAddr, usize>,
    /// Connections that were never marked active, oldest first, each with the sender that tells it
    /// to close.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
}

/// Reason that a new connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionError {
    /// The limit is reached, and all connections are active.
    Full,
    /// The source has reached its share.
    Source,
}

/// Counters of a limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Number of connections that are open now.
    pub open: usize,
    /// Total number of admitted connections.
    pub admitted: u64,
    /// Total number of refused connections.
    pub refused: u64,
    /// Total number of inactive connections that were closed in favour of new ones.
    pub evicted: u64,
}

impl ConnectionLimiter {
    /// Creates a limiter for at most `max` connections (at least 1); `name` is the protocol's in
    /// logs and metrics.
    pub fn new(name: &'static str, max: usize) -> Arc<Self> {
        let max = max.max(1);
        Arc::new(Self {
            name,
            max,
            max_per_source: (max / 4).max(1),
            state: Mutex::default(),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        })
    }

    /// Returns the protocol's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the maximum number of concurrent connections.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        let (open, admitted) = {
            let state = self.state.lock();
            (state.open, state.next)
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats { open, admitted, refused: count(&self.refused), evicted: count(&self.evicted) }
    }

    /// Admits a connection from `peer`.
    ///
    /// # Errors
    /// [`AdmissionError`], if the limit or the source's share is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Permit, AdmissionError> {
        let source = limited_source(peer.ip());
        let admitted = self.state.lock().admit(source, self.max, self.max_per_source);
        match admitted {
            Ok(Admitted { id, evicted, victim }) => {
                if let Some(victim) = victim {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                    // A send error means that the connection is closing already.
                    let _ = victim.send(());
                }
                Ok(Permit { limiter: Arc::clone(self), id, source, evicted: Some(evicted) })
            }
            Err(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(refusal)
            }
        }
    }
}

struct Admitted {
    id: u64,
    evicted: oneshot::Receiver<()>,
    victim: Option<oneshot::Sender<()>>,
}

impl Admissions {
    fn admit(
        &mut self,
        source: Option<IpAddr>,
        max: usize,
        max_per_source: usize,
    ) -> Result<Admitted, AdmissionError> {
        if source.is_some_and(|source| {
            self.by_source.get(&source).is_some_and(|count| *count >= max_per_source)
        }) {
            return Err(AdmissionError::Source);
        }
        let mut victim = None;
        if self.open - self.leaving.len() >= max {
            if self.leaving.len() >= MAX_LEAVING {
                return Err(AdmissionError::Full);
            }
            let (longest, evicted) = self.silent.pop_first().ok_or(AdmissionError::Full)?;
            self.leaving.insert(longest);
            victim = Some(evicted);
        }
        let id = self.next;
        self.next += 1;
        self.open += 1;
        if let Some(source) = source {
            *self.by_source.entry(source).or_default() += 1;
        }
        let (tell, evicted) = oneshot::channel();
        self.silent.insert(id, tell);
        Ok(Admitted { id, evicted, victim })
    }

    fn leave(&mut self, id: u64, source: Option<IpAddr>) {
        self.open -= 1;
        self.leaving.remove(&id);
        self.silent.remove(&id);
        if let Some(source) = source
            && let Some(count) = self.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// Place of an admitted connection, released on drop.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
    source: Option<IpAddr>,
    evicted: Option<oneshot::Receiver<()>>,
}

impl Permit {
    /// Marks the connection as active: its peer has sent something valid, and it is no longer
    /// closed in favour of new connections.
    pub fn mark_active(&self) {
        self.limiter.state.lock().silent.remove(&self.id);
    }

    /// Returns the receiver that completes when the connection must close in favour of a new one,
    /// or with an error once the connection was [marked active](Self::mark_active). Only the first
    /// call returns it.
    pub(super) fn evicted(&mut self) -> Option<oneshot::Receiver<()>> {
        self.evicted.take()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.state.lock().leave(self.id, self.source);
    }
}

/// Returns the network that a connection counts against, or `None` for loopback, which has no limit
/// per source.
fn limited_source(ip: IpAddr) -> Option<IpAddr> {
    (!ip.to_canonical().is_loopback()).then(|| network(ip))
}

#[cfg(test)]
mod tests;
