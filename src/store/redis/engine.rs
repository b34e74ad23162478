//! What all stores of the Redis engine share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};

use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};

use super::check;
use super::link::Link;
use super::node::Making;
use super::rooms::RoomListeners;
use super::settings::{Promise, RedisOptions};
use super::store::RedisStore;
use super::tail::{Changed, Tails};
use super::topology::Topology;
use crate::model::Durability;
use crate::store::{Clock, Limits};

/// Why an engine cannot be used: one sentence for who started the server. Nothing was written to
/// it.
#[derive(Debug, Error)]
#[error("--store {url}: {why}")]
pub struct StartError {
    url: String,
    why: String,
}

/// The Redis engine. Clones are the same engine; the last one ends its connections.
#[derive(Clone)]
pub struct RedisEngine(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) namespace: String,
    promise: Promise,
    cluster: bool,
    pub(super) tails: Arc<Tails>,
    /// Notified when the events of rooms change.
    pub(super) room_listeners: Arc<RoomListeners>,
    /// The highest id of a user that was made here.
    pub(super) last_id: AtomicU64,
    pub(super) runtime: Handle,
    health: watch::Receiver<bool>,
    /// Dropped, it ends the engine's thread.
    _running: oneshot::Sender<()>,
}

impl RedisEngine {
    /// Connects, and sees to it that what is there can be used. Waits for that.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn start(options: RedisOptions, clock: Clock, limits: Limits) -> Result<Self, StartError> {
        let url = options.url.to_string();
        let wrong = |why: String| StartError { url: url.clone(), why };
        let (told, outcome) = mpsc::sync_channel(1);
        let (running, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kvrpc-store".to_owned());
        let body = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(options, clock, limits, running, stopped, &told)),
            // Nobody listens only if the start was given up.
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

    /// The store of this id, made by the first write if it is not there.
    pub fn open(&self, id: u64) -> RedisStore {
        let epoch: u64 = rand::random();
        RedisStore::new(Arc::clone(&self.0), id, epoch.to_le_bytes().to_vec())
    }

    /// The store of a user that was [entered](Self::enter); once that has gone, it is gone too.
    pub fn open_existing(&self, id: u64) -> RedisStore {
        RedisStore::new(Arc::clone(&self.0), id, Vec::new())
    }

    /// Whether any node answers, now and whenever that changes.
    pub fn health(&self) -> watch::Receiver<bool> {
        self.0.health.clone()
    }

    /// What it is called: `redis` or `redis-cluster`.
    pub fn name(&self) -> &'static str {
        if self.0.cluster { "redis-cluster" } else { "redis" }
    }

    /// How many bytes of changes are kept here for those who watch.
    pub fn change_bytes(&self) -> u64 {
        self.0.tails.bytes()
    }

    /// What is true of a write when it is answered.
    pub fn durability(&self) -> Durability {
        self.0.durability()
    }
}

impl Shared {
    /// The time that the functions go by: empty, the engine's own; a clock that tests move, that
    /// one.
    pub(super) fn now(&self) -> String {
        if self.clock.is_manual() { self.clock.now().to_string() } else { String::new() }
    }

    pub(super) const fn durability(&self) -> Durability {
        match self.promise {
            Promise::Local => Durability::Local,
            Promise::Replicated(_) => Durability::Replicated,
            Promise::Fsynced => Durability::Fsynced,
        }
    }
}

async fn serve(
    options: RedisOptions,
    clock: Clock,
    limits: Limits,
    running: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
    told: &mpsc::SyncSender<Result<RedisEngine, String>>,
) {
    let runtime = Handle::current();
    let tails = Arc::<Tails>::default();
    let room_listeners = Arc::<RoomListeners>::default();
    let (of_stores, of_rooms) = (Arc::clone(&tails), Arc::clone(&room_listeners));
    let replicas = if let Promise::Replicated(replicas) = options.promise { replicas } else { 0 };
    let making = Making {
        patience: options.patience,
        runtime: runtime.clone(),
        replicas,
        pushes: Arc::new(move |push| {
            let changed = Changed::of(push);
            of_stores.hear(&changed);
            of_rooms.notify(&changed);
        }),
    };
    let started = async {
        let nodes = options.url.nodes();
        let topology =
            Topology::new(&nodes, options.url.cluster, making).ok_or("it names no node")?;
        let topology = Arc::new(topology);
        check::check(&topology, &options).await?;
        Ok::<_, String>(topology)
    };
    let topology = match started.await {
        Ok(topology) => topology,
        Err(why) => {
            drop(told.send(Err(why)));
            return;
        }
    };
    let (health_told, health) = watch::channel(true);
    let link = Link { topology: Arc::clone(&topology), replicas };
    let shared = Shared {
        link,
        clock,
        limits,
        namespace: options.namespace,
        promise: options.promise,
        cluster: options.url.cluster,
        tails,
        room_listeners,
        last_id: AtomicU64::new(0),
        runtime,
        health,
        _running: running,
    };
    drop(told.send(Ok(RedisEngine(Arc::new(shared)))));
    tokio::select! {
        () = topology.watch_over(health_told) => {}
        _ = stopped => {}
    }
}
