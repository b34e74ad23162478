//! Which node has which slot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, Value, cmd};
use tokio::sync::Notify;

use super::node::{Making, Node};

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// No node that is known has the slot.
const NONE: u16 = u16::MAX;
/// How often the nodes are looked at: who does not answer, whether one that did not is back.
const ROUND: Duration = Duration::from_millis(100);
/// After how many rounds the cluster is asked who has what, and every node whether it is there,
/// though nothing looks amiss.
const CALM_ROUNDS: u32 = 10;
/// How many nodes are remembered.
const MAX_NODES: usize = 4_096;

/// The slot of a key with this hash tag (or without braces).
pub(super) fn slot_of(tag: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % SLOTS
}

/// The nodes, and which slots each has. Of a single server, all.
pub(super) struct Topology {
    /// Nodes only come: an index stays what it is.
    nodes: ArcSwap<Vec<Arc<Node>>>,
    growing: Mutex<()>,
    slots: Vec<AtomicU16>,
    seed: ConnectionInfo,
    cluster: bool,
    making: Making,
    /// Asks for a look at who has what.
    stale: Notify,
}

impl Topology {
    pub(super) fn new(seeds: &[ConnectionInfo], cluster: bool, making: Making) -> Option<Self> {
        let topology = Self {
            nodes: ArcSwap::default(),
            growing: Mutex::new(()),
            slots: (0..SLOTS).map(|_| AtomicU16::new(if cluster { NONE } else { 0 })).collect(),
            seed: seeds.first()?.clone(),
            cluster,
            making,
            stale: Notify::new(),
        };
        for seed in seeds {
            let (host, port) = host_port(seed.addr())?;
            topology.node(&host, port)?;
        }
        Some(topology)
    }

    /// All nodes.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.load().iter().cloned().collect()
    }

    /// The nodes that have slots.
    pub(super) fn masters(&self) -> Vec<Arc<Node>> {
        let indices: BTreeSet<u16> =
            self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
        let nodes = self.nodes.load();
        indices.into_iter().filter_map(|index| nodes.get(usize::from(index)).cloned()).collect()
    }

    /// The node that has this slot, as far as is known.
    pub(super) fn of(&self, slot: u16) -> Option<Arc<Node>> {
        let index = self.slots.get(usize::from(slot))?.load(Ordering::Acquire);
        self.nodes.load().get(usize::from(index)).cloned()
    }

    /// The node at `host:port`, as a redirection names it.
    pub(super) fn at(&self, address: &str) -> Option<Arc<Node>> {
        let (host, port) = address.rsplit_once(':')?;
        self.node(host, port.parse().ok()?).map(|(_, node)| node)
    }

    /// A slot is at another node than was thought.
    pub(super) fn moved(&self, slot: u16, address: &str) -> Option<Arc<Node>> {
        let (host, port) = address.rsplit_once(':')?;
        let (index, node) = self.node(host, port.parse().ok()?)?;
        self.slots.get(usize::from(slot))?.store(index, Ordering::Release);
        self.stale.notify_one();
        Some(node)
    }

    /// Something looks amiss.
    pub(super) fn doubt(&self) {
        if self.cluster {
            self.stale.notify_one();
        }
    }

    fn node(&self, host: &str, port: u16) -> Option<(u16, Arc<Node>)> {
        let address = format!("{host}:{port}");
        let find = |nodes: &[Arc<Node>]| {
            let at = nodes.iter().position(|node| node.address == address)?;
            Some((u16::try_from(at).ok()?, Arc::clone(nodes.get(at)?)))
        };
        if let Some(found) = find(&self.nodes.load()) {
            return Some(found);
        }
        let _growing = self.growing.lock();
        let mut nodes = self.nodes.load().as_ref().clone();
        if let Some(found) = find(&nodes) {
            return Some(found);
        }
        if nodes.len() >= MAX_NODES {
            return None;
        }
        let client = Client::open(self.connection_info(host, port)).ok()?;
        let node = Node::new(address.clone(), client, &self.making);
        nodes.push(node);
        let found = find(&nodes);
        self.nodes.store(Arc::new(nodes));
        found
    }

    /// The seed's login and encryption, at another address.
    fn connection_info(&self, host: &str, port: u16) -> ConnectionInfo {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = match self.seed.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let settings =
            self.seed.redis_settings().clone().set_protocol(redis::ProtocolVersion::RESP3);
        self.seed.clone().set_addr(address).set_redis_settings(settings)
    }

    /// Asks the nodes one after another who has what, until one knows. False: none did.
    pub(super) async fn refresh(&self) -> bool {
        for node in self.nodes() {
            if node.circuit.is_open() {
                continue;
            }
            if let Ok(Value::Array(ranges)) = node.ask(&slots_command(), false).await
                && self.read(&node, &ranges)
            {
                return true;
            }
        }
        false
    }

    fn read(&self, asked: &Node, ranges: &[Value]) -> bool {
        let own_host = asked.address.rsplit_once(':').map_or("", |(host, _)| host);
        let mut known = false;
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice()
            else {
                continue;
            };
            let (Some(host), Some(Value::Int(port))) = (master.first(), master.get(1)) else {
                continue;
            };
            // Without a host it is the one that was asked.
            let host =
                text(host).filter(|host| !host.is_empty()).unwrap_or_else(|| own_host.to_owned());
            let Some((index, _)) =
                u16::try_from(*port).ok().and_then(|port| self.node(&host, port))
            else {
                continue;
            };
            let slots =
                usize::try_from(*first).unwrap_or(usize::MAX)..=usize::try_from(*last).unwrap_or(0);
            for slot in self.slots.get(slots).unwrap_or_default() {
                slot.store(index, Ordering::Release);
                known = true;
            }
        }
        known
    }

    /// Keeps the map true, and dead nodes under watch. For ever.
    pub(super) async fn watch_over(self: Arc<Self>, health: tokio::sync::watch::Sender<bool>) {
        for round in 0_u32.. {
            let stale = tokio::time::timeout(ROUND, self.stale.notified()).await.is_ok();
            let calm = round % CALM_ROUNDS == 0;
            for node in self.nodes() {
                if node.circuit.wants_probe() || (calm && !node.circuit.is_open()) {
                    // Each on its own: one that does not answer holds up no other.
                    self.making.runtime.spawn(async move { node.probe().await });
                }
            }
            let masters = self.masters();
            let broken = masters.iter().any(|node| node.circuit.is_open());
            if self.cluster && (stale || calm || broken) {
                self.refresh().await;
            }
            let reachable = masters.iter().any(|node| !node.circuit.is_open());
            health.send_if_modified(|healthy| std::mem::replace(healthy, reachable) != reachable);
            if stale {
                // Many who doubt at once are answered by one look.
                tokio::time::sleep(ROUND / 4).await;
            }
        }
    }
}

fn slots_command() -> Cmd {
    let mut slots = cmd("CLUSTER");
    slots.arg("SLOTS");
    slots
}

fn host_port(address: &ConnectionAddr) -> Option<(String, u16)> {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host.clone(), *port))
        }
        _ => None,
    }
}

/// A value's text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("user1000"), 3_443);
    }
}
