//! The server from bound to stopped: build → spawn → drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::compat::{self, Sockets};
use super::compose::{Parts, compose};
use super::config::Config;
use super::task::Task;
use super::tls::{self, TlsError};
use super::{admin, tls::Reloading};
use crate::listen::http::{HttpDoor, HttpService, Tower};
use crate::listen::{
    BindError, Bound, Door, Drained, Gate, Listening, Opening, bind, connections_within,
};
use crate::store::feed::Hub;

/// The admin pages' connections: a scraper and a few probes.
const ADMIN_CONNECTIONS: usize = 64;
/// What a scrape that runs while everything else has stopped gets to finish.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate or the key is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The accounts or the contract's descriptors are no good.
    #[error("the service could not be put together: {0}")]
    Service(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system has no thread or descriptor left.
    #[error("the server's threads could not be started: {0}")]
    Threads(#[source] io::Error),
}

/// What the parts of the server may watch and show while they run.
#[derive(Clone)]
pub struct Hooks {
    /// Whether the server takes calls: false before the start and from the first sign of the stop.
    pub ready: watch::Receiver<bool>,
    /// The doors' counts of connections.
    pub gates: Vec<Arc<Gate>>,
    /// Where the server is.
    pub addresses: Addresses,
}

/// A server that has its addresses, and serves nobody yet.
pub struct App {
    doors: Vec<Opening>,
    admin: Option<Opening>,
    tasks: Vec<Task>,
    ready: watch::Sender<bool>,
    addresses: Addresses,
    threads: usize,
    grace: Duration,
}

/// Where a server is, with the ports that the system chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Each address with its door's name, `grpc`, the dialects', `admin`.
    pub all: Vec<(String, SocketAddr)>,
}

impl Addresses {
    /// The first address of a door.
    pub fn of(&self, door: &str) -> Option<SocketAddr> {
        self.all.iter().find(|(name, _)| name == door).map(|(_, address)| *address)
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (door, address)) in self.all.iter().enumerate() {
            write!(f, "{}{door}={address}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl App {
    /// Binds every address, and puts the server together.
    ///
    /// # Errors
    /// An address that cannot be listened on, or files for TLS that are no good.
    pub fn build(config: &Config) -> Result<Self, StartError> {
        Self::build_with(config, |hooks| compose(config, hooks))
    }

    /// The same with other parts: what the tests serve.
    ///
    /// # Errors
    /// As [`App::build`].
    pub fn build_with<S: HttpService>(
        config: &Config,
        parts: impl FnOnce(Hooks) -> Result<Parts<S>, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Self, StartError> {
        let (tls, reloading) = tls::start(config.tls.as_ref())?.unzip();
        let grpc = bind_all("--listen", &config.listen)?;
        let admin = bind_all("--admin-listen", config.admin_listen.as_slice())?;
        let Sockets { streams, datagrams } = compat::bind_all(&config.compat)?;
        let sockets = streams.iter().flat_map(|(dialect, bound)| named(dialect.name, bound));
        let datagram =
            |(dialect, bound): &compat::Datagrams| (dialect.name.to_owned(), bound.local());
        let sockets = sockets.chain(datagrams.iter().map(datagram));
        let addresses = Addresses {
            all: named("grpc", &grpc).chain(sockets).chain(named("admin", &admin)).collect(),
        };

        let cap = connections_within(config.connections, 1 + streams.len());
        if cap < config.connections {
            tracing::info!(
                wanted = config.connections,
                cap,
                "connections a door are bounded by the descriptors that the process may have"
            );
        }
        let gate = Gate::new("grpc", cap);
        let socket_gates: Vec<_> =
            streams.iter().map(|(dialect, _)| Gate::new(dialect.name, cap)).collect();
        let gates = std::iter::once(&gate).chain(&socket_gates).map(Arc::clone).collect();
        let (ready, watched) = watch::channel(false);
        let hooks = Hooks { ready: watched.clone(), gates, addresses: addresses.clone() };
        let Parts { grpc: answers, service, metrics, mut tasks } =
            parts(hooks).map_err(StartError::Service)?;
        tasks.extend(reloading.map(Reloading::into_task));

        let engine = service.as_ref().and_then(|service| service.engine_health());
        let door: Arc<dyn Door> = Arc::new(HttpDoor::new(answers, tls, config.http.clone()));
        let mut doors = vec![Opening { bound: grpc, door, gate }];
        if let Some(service) = service {
            doors.extend(compat::openings(config, &service, streams, socket_gates));
            tasks.extend(
                datagrams.into_iter().map(|bound| compat::task(bound, &service, watched.clone())),
            );
        }
        let pages = admin::pages(metrics, watched, engine);
        let admin_door = || Arc::new(HttpDoor::new(Tower(pages), None, config.http.clone()));
        let admin = (!admin.is_empty()).then(|| Opening {
            bound: admin,
            door: admin_door(),
            gate: Gate::new("admin", ADMIN_CONNECTIONS),
        });
        Ok(Self {
            doors,
            admin,
            tasks,
            ready,
            addresses,
            threads: config.threads,
            grace: config.grace,
        })
    }

    /// Starts to serve. Needs a runtime for the accept loops and the tasks; the calls run on
    /// threads of their own.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(self) -> Result<Running, StartError> {
        let Self { doors, admin, tasks, ready, addresses, threads, grace } = self;
        let doors = Listening::start("kvrpc", threads, || Box::pin(Hub::serve()), doors)
            .map_err(StartError::Threads)?;
        // On a thread of its own: it answers also when every other thread is busy, which is when it
        // is needed.
        let admin = admin.map(|admin| {
            Listening::start("kvrpc-admin", 1, || Box::pin(std::future::ready(())), vec![admin])
        });
        let admin = admin.transpose().map_err(StartError::Threads)?;
        let mut running = JoinSet::new();
        for task in tasks {
            running.spawn(task.into_future());
        }
        ready.send_replace(true);
        tracing::info!("ready: {addresses}");
        Ok(Running { doors, admin, _tasks: running, ready, addresses, grace })
    }
}

fn bind_all(setting: &str, addresses: &[crate::listen::Address]) -> Result<Vec<Bound>, BindError> {
    let mut all = Vec::new();
    for address in addresses {
        all.extend(bind(setting, address)?);
    }
    Ok(all)
}

fn named<'a>(name: &'a str, bound: &'a [Bound]) -> impl Iterator<Item = (String, SocketAddr)> + 'a {
    bound.iter().map(move |bound| (name.to_owned(), bound.local()))
}

/// A server that serves. Dropped, it ends at once.
pub struct Running {
    doors: Listening,
    admin: Option<Listening>,
    _tasks: JoinSet<()>,
    ready: watch::Sender<bool>,
    addresses: Addresses,
    grace: Duration,
}

impl Running {
    /// Where it is.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Says that it takes no more calls, stops accepting, tells the streams to end, lets running
    /// calls finish, and cuts what is left after the grace period. The admin pages go last.
    pub async fn drain(self) -> Drained {
        self.ready.send_replace(false);
        tracing::info!(grace = ?self.grace, "stopping: running calls may finish");
        let drained = self.doors.drain(self.grace).await;
        match drained {
            Drained::Clean => tracing::info!("stopped"),
            Drained::Forced { left } => {
                tracing::warn!(left, grace = ?self.grace, "stopped: connections were cut")
            }
        }
        if let Some(admin) = self.admin {
            admin.drain(ADMIN_GRACE).await;
        }
        drained
    }
}
