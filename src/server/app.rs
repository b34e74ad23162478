//! The life of the server: build → spawn → drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::compat::{self, Sockets};
use super::compose::{Parts, compose};
use super::config::Config;
use super::task::Task;
use super::tls::{self, TlsError};
use super::{admin, tls::CertificateReloader};
use crate::listen::http::{HttpHandler, HttpService, Tower};
use crate::listen::{
    BackgroundTask, BindError, Bound, ConnectionHandler, ConnectionLimiter, Drained, Endpoint,
    Failures, ListenerSet, Supervisor, bind, connections_within,
};
use crate::store::feed::ThreadWaker;

/// Maximum number of connections to the admin pages: a scraper and a few probes.
const ADMIN_CONNECTIONS: usize = 64;
/// Grace period of the admin pages, after everything else has stopped.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Reason that the server could not start.
#[derive(Debug, Error)]
pub enum ServerStartError {
    /// An address could not be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate or the key is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The accounts or the contract's descriptors are not usable.
    #[error("the service could not be put together: {0}")]
    Service(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system has no thread or descriptor left.
    #[error("the server's threads could not be started: {0}")]
    Threads(#[source] io::Error),
}

/// Values that the parts of the server may observe while they run.
#[derive(Clone)]
pub struct Hooks {
    /// True from the end of the start to the beginning of the stop.
    pub ready: watch::Receiver<bool>,
    /// Cancelled when the server takes no more calls: some time after the stop has begun.
    pub closed: CancellationToken,
    /// Connection limiters of all protocols except `admin`.
    pub limiters: Vec<Arc<ConnectionLimiter>>,
    /// Addresses of the listeners.
    pub addresses: Addresses,
}

/// A server with bound addresses that does not serve yet.
pub struct App {
    listeners: Vec<Endpoint>,
    admin: Option<Endpoint>,
    /// Tasks that end with the accept loops.
    datagrams: Vec<Task>,
    /// Tasks that end with the server.
    tasks: Vec<Task>,
    lifecycle: Lifecycle,
    addresses: Addresses,
    threads: usize,
}

/// The signals of a server's stop, and its times.
struct Lifecycle {
    ready: watch::Sender<bool>,
    closed: CancellationToken,
    /// Readiness of the store's engine, if it has any.
    engine: Option<watch::Receiver<bool>>,
    drain_delay: Duration,
    grace: Duration,
}

/// Addresses of a server, with the ports that the system chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Each address with its protocol's name: `grpc`, that of a legacy protocol, or `admin`.
    pub all: Vec<(String, SocketAddr)>,
}

impl Addresses {
    /// Returns the first address of a protocol.
    pub fn of(&self, protocol: &str) -> Option<SocketAddr> {
        self.all.iter().find(|(name, _)| name == protocol).map(|(_, address)| *address)
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (protocol, address)) in self.all.iter().enumerate() {
            write!(f, "{}{protocol}={address}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl App {
    /// Binds every address and composes the server.
    ///
    /// # Errors
    /// An address that cannot be listened on, TLS files that are not usable, or a service that
    /// cannot be created.
    pub fn build(config: &Config) -> Result<Self, ServerStartError> {
        Self::build_with(config, |hooks| compose(config, hooks))
    }

    /// Builds the server with other parts; for tests.
    ///
    /// # Errors
    /// Those of [`App::build`].
    pub fn build_with<S: HttpService>(
        config: &Config,
        parts: impl FnOnce(Hooks) -> Result<Parts<S>, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Self, ServerStartError> {
        let (tls, reloader) = tls::start(config.tls.as_ref())?.unzip();
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
                "the descriptors that the process may have bound the connections of each protocol"
            );
        }
        let limiter = ConnectionLimiter::new("grpc", cap);
        let socket_limiters: Vec<_> =
            streams.iter().map(|(dialect, _)| ConnectionLimiter::new(dialect.name, cap)).collect();
        let limiters = std::iter::once(&limiter).chain(&socket_limiters).map(Arc::clone).collect();
        let (ready, watched) = watch::channel(false);
        let closed = CancellationToken::new();
        let hooks = Hooks {
            ready: watched.clone(),
            closed: closed.clone(),
            limiters,
            addresses: addresses.clone(),
        };
        let Parts { grpc: answers, service, metrics, mut tasks } =
            parts(hooks).map_err(ServerStartError::Service)?;
        tasks.extend(reloader.map(CertificateReloader::into_task));

        let engine = service.as_ref().and_then(|service| service.engine_health());
        let handler: Arc<dyn ConnectionHandler> =
            Arc::new(HttpHandler::new(answers, tls, config.http.clone()));
        let mut listeners = vec![Endpoint { bound: grpc, handler, limiter }];
        let mut datagram_tasks = Vec::new();
        if let Some(service) = service {
            listeners.extend(compat::endpoints(config, &service, streams, socket_limiters));
            datagram_tasks = datagrams.into_iter().map(|b| compat::task(b, &service)).collect();
        }
        let pages = admin::pages(metrics, watched, engine.clone());
        let admin_handler = || Arc::new(HttpHandler::new(Tower(pages), None, config.http.clone()));
        let admin = (!admin.is_empty()).then(|| Endpoint {
            bound: admin,
            handler: admin_handler(),
            limiter: ConnectionLimiter::new("admin", ADMIN_CONNECTIONS),
        });
        Ok(Self {
            listeners,
            admin,
            datagrams: datagram_tasks,
            tasks,
            lifecycle: Lifecycle {
                ready,
                closed,
                engine,
                drain_delay: config.drain_delay,
                grace: config.grace,
            },
            addresses,
            threads: config.threads,
        })
    }

    /// Starts to serve. Must be called within a runtime, which runs the accept loops and the tasks;
    /// calls run on threads of their own.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(self) -> Result<Running, ServerStartError> {
        let Self { listeners, admin, datagrams, tasks, lifecycle, addresses, threads } = self;
        let failures = Failures::default();
        let hub: BackgroundTask = || Box::pin(ThreadWaker::serve());
        let listeners = ListenerSet::start("kvrpc", threads, hub, listeners, &failures)
            .map_err(ServerStartError::Threads)?;
        // The admin pages have a thread of their own, so that they answer also when all other
        // threads are busy.
        let admin = admin.map(|admin| {
            let none: BackgroundTask = || Box::pin(std::future::pending());
            ListenerSet::start("kvrpc-admin", 1, none, vec![admin], &failures)
        });
        let admin = admin.transpose().map_err(ServerStartError::Threads)?;
        datagrams.into_iter().for_each(|task| task.run_by(listeners.acceptors()));
        let supervisor = Supervisor::new(&failures);
        tasks.into_iter().for_each(|task| task.run_by(&supervisor));
        lifecycle.ready.send_replace(true);
        tracing::info!("ready: {addresses}");
        Ok(Running { listeners, admin, _tasks: supervisor, failures, lifecycle, addresses })
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

/// A running server. It ends at once on drop.
pub struct Running {
    listeners: ListenerSet,
    admin: Option<ListenerSet>,
    _tasks: Supervisor,
    failures: Failures,
    lifecycle: Lifecycle,
    addresses: Addresses,
}

impl Running {
    /// Returns the addresses of the listeners.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Waits for a failure after which the server cannot go on, and returns a sentence: a task has
    /// ended that must not. The server is to be stopped then.
    pub async fn failed(&self) -> String {
        self.failures.first().await
    }

    /// Waits until calls can be served: the store's engine answers.
    pub async fn serving(&self) {
        if let Some(mut engine) = self.lifecycle.engine.clone() {
            // Without a sender there is no engine any more, and the server stops.
            let _ = engine.wait_for(|answers| *answers).await;
        }
    }

    /// Reports that the server is not ready, and goes on for the drain delay. Then stops accepting,
    /// tells streams to end, lets running calls finish, and cuts the remaining ones after the grace
    /// period. The admin pages stop last.
    pub async fn drain(self) -> Drained {
        let Lifecycle { ready, closed, drain_delay, grace, .. } = self.lifecycle;
        ready.send_replace(false);
        if !drain_delay.is_zero() {
            tracing::info!(?drain_delay, "stopping: new calls are taken for a while");
            sleep(drain_delay).await;
        }
        tracing::info!(?grace, "stopping: running calls may finish");
        closed.cancel();
        let drained = self.listeners.drain(grace).await;
        match drained {
            Drained::Clean => tracing::info!("stopped"),
            Drained::Forced { left } => {
                tracing::warn!(left, ?grace, "stopped: connections were cut")
            }
        }
        if let Some(admin) = self.admin {
            admin.drain(ADMIN_GRACE).await;
        }
        drained
    }
}
