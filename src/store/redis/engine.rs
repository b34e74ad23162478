//! The Redis engine: starts, checks Redis, and holds what its stores share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};

use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};

use super::change_follower::{ChangeFollowers, Invalidation};
use super::check;
use super::engine_clock::EngineClock;
use super::node::NodeOptions;
use super::rooms::RoomListeners;
use super::router::Router;
use super::settings::{DurabilityLevel, RedisOptions};
use super::store::RedisStore;
use super::topology::Topology;
use crate::model::Durability;
use crate::store::{Clock, StoreLimits};

/// Reason why an engine cannot be used, as one sentence for the operator. Nothing was written to
/// Redis.
#[derive(Debug, Error)]
#[error("--store {url}: {why}")]
pub struct RedisStartError {
    url: String,
    why: String,
}

/// Redis engine. Clones are the same engine; the last one closes its connections.
#[derive(Clone)]
pub struct RedisEngine(pub(super) Arc<RedisShared>);

/// State that all stores of the engine share.
pub(super) struct RedisShared {
    pub(super) router: Router,
    pub(super) clock: Clock,
    pub(super) limits: StoreLimits,
    pub(super) namespace: String,
    durability: DurabilityLevel,
    cluster: bool,
    pub(super) followers: Arc<ChangeFollowers>,
    /// Notified when the events of rooms change.
    pub(super) room_listeners: Arc<RoomListeners>,
    /// Highest id of a user that was made by this server.
    pub(super) last_id: AtomicU64,
    pub(super) runtime: Handle,
    health: watch::Receiver<bool>,
    engine_clock: Arc<EngineClock>,
    /// Ends the engine's thread when it is dropped.
    _running: oneshot::Sender<()>,
}

impl RedisEngine {
    /// Connects to Redis, checks that it can be used, and blocks until that is known.
    ///
    /// # Errors
    /// The first thing that is wrong, in one sentence.
    pub fn start(
        options: RedisOptions,
        clock: Clock,
        limits: StoreLimits,
    ) -> Result<Self, RedisStartError> {
        let url = options.url.to_string();
        let wrong = |why: String| RedisStartError { url: url.clone(), why };
        let (told, outcome) = mpsc::sync_channel(1);
        let (running, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kvrpc-store".to_owned());
        let body = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(options, clock, limits, running, stopped, &told)),
            // The receiver is gone only if the start was given up.
            Err(error) => drop(told.send(Err(format!("its thread cannot be started: {error}")))),
        };
        thread
            .spawn(body)
            .map_err(|error| wrong(format!("its thread cannot be started: {error}")))?;
        match outcome.recv() {
            Ok(Ok(engine)) => Ok(engine),
            Ok(Err(why)) => Err(wrong(why)),
            Err(_) => Err(wrong("its thread ended".to_owned())),
        }
    }

    /// Opens the store of this user id; the first write makes it if it does not exist.
    pub fn open(&self, id: u64) -> RedisStore {
        let epoch: u64 = rand::random();
        RedisStore::new(Arc::clone(&self.0), id, epoch.to_le_bytes().to_vec())
    }

    /// Opens the store of a user that was [entered](Self::enter). Once the user is gone, its calls
    /// end as `SESSION_EXPIRED`.
    pub fn open_existing(&self, id: u64) -> RedisStore {
        RedisStore::new(Arc::clone(&self.0), id, Vec::new())
    }

    /// Watches whether any node answers.
    pub fn health(&self) -> watch::Receiver<bool> {
        self.0.health.clone()
    }

    /// Seconds by which the engine's clock is ahead of this machine's.
    pub fn clock_offset_seconds(&self) -> f64 {
        self.0.engine_clock.offset_seconds()
    }

    /// Name of the engine: `redis` or `redis-cluster`.
    pub fn name(&self) -> &'static str {
        if self.0.cluster { "redis-cluster" } else { "redis" }
    }

    /// Bytes of changes that this process keeps for watches.
    pub fn change_bytes(&self) -> u64 {
        self.0.followers.bytes()
    }

    /// Durability of a write when it is answered.
    pub fn durability(&self) -> Durability {
        self.0.durability()
    }
}

impl RedisShared {
    /// Time that is passed to the functions: empty for Redis's own clock; of a manual clock, its
    /// time in Unix milliseconds.
    pub(super) fn now(&self) -> String {
        if self.clock.is_manual() { self.clock.now().to_string() } else { String::new() }
    }

    pub(super) const fn durability(&self) -> Durability {
        match self.durability {
            DurabilityLevel::Local => Durability::Local,
            DurabilityLevel::Replicated(_) => Durability::Replicated,
            DurabilityLevel::Fsynced => Durability::Fsynced,
        }
    }
}

/// Finds the nodes and checks that they can be used.
async fn open_topology(
    options: &RedisOptions,
    node_options: NodeOptions,
) -> Result<Arc<Topology>, String> {
    let nodes = options.url.nodes();
    let topology = Topology::new(&nodes, options.url.cluster, node_options);
    let topology = Arc::new(topology.ok_or("it names no node")?);
    check::check(&topology, options).await?;
    Ok(topology)
}

/// Runs the engine on its thread: reports to `told` whether it started, then keeps the topology up
/// to date until it is stopped.
async fn serve(
    options: RedisOptions,
    clock: Clock,
    limits: StoreLimits,
    running: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
    told: &mpsc::SyncSender<Result<RedisEngine, String>>,
) {
    let runtime = Handle::current();
    let followers = Arc::<ChangeFollowers>::default();
    let room_listeners = Arc::<RoomListeners>::default();
    let (of_stores, of_rooms) = (Arc::clone(&followers), Arc::clone(&room_listeners));
    let replicas =
        if let DurabilityLevel::Replicated(replicas) = options.durability { replicas } else { 0 };
    let node_options = NodeOptions {
        patience: options.patience,
        runtime: runtime.clone(),
        replicas,
        pushes: Arc::new(move |push| {
            let changed = Invalidation::of(push);
            of_stores.on_invalidation(&changed);
            of_rooms.notify(&changed);
        }),
    };
    let topology = match open_topology(&options, node_options).await {
        Ok(topology) => topology,
        Err(why) => {
            drop(told.send(Err(why)));
            return;
        }
    };
    let engine_clock = Arc::<EngineClock>::default();
    engine_clock.measure(&topology, &clock).await;
    let (health_told, health) = watch::channel(true);
    let router = Router { topology: Arc::clone(&topology), replicas };
    let shared = RedisShared {
        router,
        clock: clock.clone(),
        limits,
        namespace: options.namespace,
        durability: options.durability,
        cluster: options.url.cluster,
        followers,
        room_listeners,
        last_id: AtomicU64::new(0),
        runtime,
        health,
        engine_clock: Arc::clone(&engine_clock),
        _running: running,
    };
    drop(told.send(Ok(RedisEngine(Arc::new(shared)))));
    tokio::select! {
        () = Arc::clone(&topology).watch_over(health_told) => {}
        () = engine_clock.follow(&topology, &clock) => {}
        _ = stopped => {}
    }
}
