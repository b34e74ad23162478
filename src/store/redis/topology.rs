//! Topology: the nodes, and the slots that each has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, Value, cmd};
use tokio::sync::Notify;

use super::node::{NodeOptions, RedisNode};

/// Number of slots in a cluster.
pub(super) const SLOTS: u16 = 16_384;
/// Index of a slot without a known node.
const NO_NODE: u16 = u16::MAX;
/// Interval at which nodes that do not answer are probed.
const ROUND: Duration = Duration::from_millis(100);
/// Number of rounds after which the slots are asked for and every node is probed, though nothing
/// seems wrong.
const CALM_ROUNDS: u32 = 10;
/// Maximum number of nodes that are remembered.
const MAX_NODES: usize = 4_096;

/// Slot of a key with this hash tag (or of this key, without braces).
pub(super) fn slot_of(tag: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % SLOTS
}

/// Nodes and their slots. A single server has all slots.
pub(super) struct Topology {
    /// Nodes are only added, so an index stays valid.
    nodes: ArcSwap<Vec<Arc<RedisNode>>>,
    growing: Mutex<()>,
    /// Index of each slot's node.
    slots: Vec<AtomicU16>,
    seed: ConnectionInfo,
    cluster: bool,
    options: NodeOptions,
    /// Notified when the slots may have changed.
    stale: Notify,
}

impl Topology {
    pub(super) fn new(
        seeds: &[ConnectionInfo],
        cluster: bool,
        options: NodeOptions,
    ) -> Option<Self> {
        let topology = Self {
            nodes: ArcSwap::default(),
            growing: Mutex::new(()),
            slots: (0..SLOTS).map(|_| AtomicU16::new(if cluster { NO_NODE } else { 0 })).collect(),
            seed: seeds.first()?.clone(),
            cluster,
            options,
            stale: Notify::new(),
        };
        for seed in seeds {
            let (host, port) = host_port(seed.addr())?;
            topology.node(&host, port)?;
        }
        Some(topology)
    }

    /// Returns all nodes.
    pub(super) fn nodes(&self) -> Vec<Arc<RedisNode>> {
        self.nodes.load().iter().cloned().collect()
    }

    /// Returns the nodes that have slots.
    pub(super) fn masters(&self) -> Vec<Arc<RedisNode>> {
        let indices: BTreeSet<u16> =
            self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
        let nodes = self.nodes.load();
        indices.into_iter().filter_map(|index| nodes.get(usize::from(index)).cloned()).collect()
    }

    /// Returns the node that has this slot, as far as is known.
    pub(super) fn of(&self, slot: u16) -> Option<Arc<RedisNode>> {
        let index = self.slots.get(usize::from(slot))?.load(Ordering::Acquire);
        self.nodes.load().get(usize::from(index)).cloned()
    }

    /// Returns the node at `host:port`, as a redirection names it.
    pub(super) fn at(&self, address: &str) -> Option<Arc<RedisNode>> {
        let (host, port) = address.rsplit_once(':')?;
        self.node(host, port.parse().ok()?).map(|(_, node)| node)
    }

    /// Records that a slot is at another node (`MOVED`), and returns that node.
    pub(super) fn moved(&self, slot: u16, address: &str) -> Option<Arc<RedisNode>> {
        let (host, port) = address.rsplit_once(':')?;
        let (index, node) = self.node(host, port.parse().ok()?)?;
        self.slots.get(usize::from(slot))?.store(index, Ordering::Release);
        self.stale.notify_one();
        Some(node)
    }

    /// Makes the slots be asked for soon, after a failure or redirection.
    pub(super) fn mark_stale(&self) {
        if self.cluster {
            self.stale.notify_one();
        }
    }

    fn node(&self, host: &str, port: u16) -> Option<(u16, Arc<RedisNode>)> {
        let address = format!("{host}:{port}");
        let find = |nodes: &[Arc<RedisNode>]| {
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
        let node = RedisNode::new(address.clone(), client, &self.options);
        nodes.push(node);
        let found = find(&nodes);
        self.nodes.store(Arc::new(nodes));
        found
    }

    /// Connection info with the seed's login and encryption, for another address.
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

    /// Asks the nodes for their slots, one after another, until one answers. Returns false if none
    /// did.
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

    fn read(&self, asked: &RedisNode, ranges: &[Value]) -> bool {
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
            // No host means the host of the node that was asked.
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

    /// Keeps the slots up to date and probes nodes, for ever. Reports to `health` whether any
    /// master can be reached.
    pub(super) async fn watch_over(self: Arc<Self>, health: tokio::sync::watch::Sender<bool>) {
        for round in 0_u32.. {
            let stale = tokio::time::timeout(ROUND, self.stale.notified()).await.is_ok();
            let calm = round % CALM_ROUNDS == 0;
            for node in self.nodes() {
                if node.circuit.wants_probe() || (calm && !node.circuit.is_open()) {
                    // In a task of its own: a node that does not answer delays no other.
                    self.options.runtime.spawn(async move { node.probe().await });
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
                // One refresh serves all calls that failed within this time.
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

/// Text of a string value.
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
