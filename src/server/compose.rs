//! The one place where the server's parts are chosen and put together.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::app::Hooks;
use super::config::{Config, ServiceConfig, StoreEngine};
use super::task::Task;
use crate::dialect::{self, Dialect};
use crate::grpc::{self, Grpc};
use crate::listen::http::HttpService;
use crate::listen::socket::SocketLimits;
use crate::model::{DoorInfo, UserName};
use crate::service::{Account, Options, SWEEP_INTERVAL, Service};
use crate::store::{Clock, Engine, Limits, MemoryEngine, RedisEngine};

/// How often the sources that signed in long ago are forgotten.
const RATES_INTERVAL: Duration = Duration::from_secs(60);

/// The metrics as text, in Prometheus' format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a server is made of, beside its sockets.
pub struct Parts<S> {
    /// Answers on the gRPC listeners.
    pub grpc: S,
    /// What the doors of the older protocols lead to; `None`: they are not served.
    pub service: Option<Arc<Service>>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What goes on beside the calls.
    pub tasks: Vec<Task>,
}

/// The parts that the configuration asks for.
pub(super) fn compose(
    config: &Config,
    hooks: Hooks,
) -> Result<Parts<impl HttpService + use<>>, Box<dyn Error + Send + Sync>> {
    let Hooks { ready, gates, addresses } = hooks;
    let service = Arc::new(Service::new(options(&config.service)?)?);
    let tls = config.tls.is_some();
    let door = |(name, address): &(String, SocketAddr)| {
        let dialect = if name == grpc::DOOR { grpc::DOOR } else { dialect::find(name)?.name };
        Some(DoorInfo { dialect, address: address.to_string(), tls: tls && name == grpc::DOOR })
    };
    service.set_doors(addresses.all.iter().filter_map(door).collect());
    let (grpc, health) = Grpc::new(Arc::clone(&service), &config.allow_origins)?;
    let (sweeps, rates, measured) =
        (Arc::clone(&service), Arc::clone(&service), Arc::clone(&service));
    let metrics = move || {
        for gate in &gates {
            measured.metrics().set_connections(gate.name(), gate.stats().open);
        }
        // Writing to a String fails for no reason but a fault of the formatter.
        measured.metrics_text().unwrap_or_default()
    };
    let tasks = vec![
        Task::once(health.follow(ready, service.engine_health())),
        Task::every("sweep", SWEEP_INTERVAL, move || sweeps.sweep()),
        Task::every("rates", RATES_INTERVAL, move || rates.sweep_rates()),
    ];
    Ok(Parts { grpc, service: Some(service), metrics: Arc::new(metrics), tasks })
}

/// What the connections of a dialect may take.
pub(super) fn socket_limits(config: &Config, dialect: &Dialect) -> SocketLimits {
    SocketLimits {
        idle: config.compat.idle(dialect),
        handshake: config.http.handshake,
        ping_after: config.http.keepalive_interval,
        pong_within: config.http.keepalive_timeout,
        allow_origins: config.allow_origins.clone(),
    }
}

/// The engine that the configuration names; for Redis this waits until it answers.
fn engine(config: &ServiceConfig, clock: &Clock) -> Result<Engine, Box<dyn Error + Send + Sync>> {
    let limits = Limits::from(&config.limits);
    Ok(match &config.store {
        StoreEngine::Memory => Engine::Memory(MemoryEngine::new(clock.clone(), limits)),
        StoreEngine::Redis(options) => {
            Engine::Redis(RedisEngine::start(options.clone(), clock.clone(), limits)?)
        }
    })
}

fn options(config: &ServiceConfig) -> Result<Options, Box<dyn Error + Send + Sync>> {
    let clock = Clock::system();
    let account = |account: &super::config::Account| {
        let name = UserName::new(account.name.as_str())?;
        Ok(Account { name, password_hash: account.password_hash.clone(), role: account.role })
    };
    Ok(Options {
        accounts: config
            .accounts
            .iter()
            .map(account)
            .collect::<Result<_, crate::model::Error>>()?,
        upgrade_policy: config.upgrade_policy,
        limits: config.limits.clone(),
        engine: engine(config, &clock)?,
        clock,
    })
}
