//! How many connections a door has, and who makes room when it is full.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Connections told to go that have not gone yet; beyond it, newcomers are refused until some have.
const LEAVING: usize = 64;

/// A door's connections: at most `cap`, and at most a quarter of that from one source beyond
/// loopback.
///
/// When it is full, the connection that has been silent longest and never spoke makes room; if all
/// spoke, the newcomer is refused. A source is an IPv4 address or an IPv6 /64, which is what one
/// host is given.
#[derive(Debug)]
pub struct Gate {
    name: &'static str,
    cap: usize,
    per_source: usize,
    state: Mutex<State>,
    refused: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: usize,
    /// Those that were told to go.
    leaving: HashSet<u64>,
    by_source: HashMap<IpAddr, usize>,
    /// Those that never spoke, oldest first, each with its way of being told to go.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
}

/// Why a newcomer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The door is full, and everybody in it has spoken.
    Full,
    /// The newcomer's source has its share already.
    Source,
}

/// What went through a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub open: usize,
    /// Connections ever admitted.
    pub admitted: u64,
    /// Newcomers turned away.
    pub refused: u64,
    /// Silent connections that made room.
    pub evicted: u64,
}

impl Gate {
    /// A gate for at most `cap` connections (at least 1); `name` is the door's in logs and metrics.
    pub fn new(name: &'static str, cap: usize) -> Arc<Self> {
        let cap = cap.max(1);
        Arc::new(Self {
            name,
            cap,
            per_source: (cap / 4).max(1),
            state: Mutex::default(),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        })
    }

    /// The door's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The most connections at a time.
    pub const fn cap(&self) -> usize {
        self.cap
    }

    /// What went through it.
    pub fn stats(&self) -> Stats {
        let (open, admitted) = {
            let state = self.state.lock();
            (state.open, state.next)
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats { open, admitted, refused: count(&self.refused), evicted: count(&self.evicted) }
    }

    /// Gives a place to a connection from `peer`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Permit, Refusal> {
        let source = source(peer.ip());
        let admitted = self.state.lock().admit(source, self.cap, self.per_source);
        match admitted {
            Ok(Admitted { id, evicted, told }) => {
                if let Some(told) = told {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                    // Who hears nothing is just leaving.
                    let _ = told.send(());
                }
                Ok(Permit { gate: Arc::clone(self), id, source, evicted: Some(evicted) })
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
    told: Option<oneshot::Sender<()>>,
}

impl State {
    fn admit(
        &mut self,
        source: Option<IpAddr>,
        cap: usize,
        per_source: usize,
    ) -> Result<Admitted, Refusal> {
        if source.is_some_and(|source| {
            self.by_source.get(&source).is_some_and(|count| *count >= per_source)
        }) {
            return Err(Refusal::Source);
        }
        let mut told = None;
        if self.open - self.leaving.len() >= cap {
            if self.leaving.len() >= LEAVING {
                return Err(Refusal::Full);
            }
            let (longest, evicted) = self.silent.pop_first().ok_or(Refusal::Full)?;
            self.leaving.insert(longest);
            told = Some(evicted);
        }
        let id = self.next;
        self.next += 1;
        self.open += 1;
        if let Some(source) = source {
            *self.by_source.entry(source).or_default() += 1;
        }
        let (tell, evicted) = oneshot::channel();
        self.silent.insert(id, tell);
        Ok(Admitted { id, evicted, told })
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

/// A connection's place; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    id: u64,
    source: Option<IpAddr>,
    evicted: Option<oneshot::Receiver<()>>,
}

impl Permit {
    /// Says that the peer has sent something that makes sense: its place is safe from newcomers
    /// then.
    pub fn spoke(&self) {
        self.gate.state.lock().silent.remove(&self.id);
    }

    /// Tells when the place is needed for somebody else, or, by an error, when that cannot be any
    /// more: the peer [spoke](Self::spoke). For the first who asks.
    pub(super) fn evicted(&mut self) -> Option<oneshot::Receiver<()>> {
        self.evicted.take()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.state.lock().leave(self.id, self.source);
    }
}

/// What connections are counted by; none for loopback, where the share does not hold.
fn source(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into())),
        ip @ IpAddr::V4(_) => Some(ip),
    }
}

#[cfg(test)]
mod tests;
