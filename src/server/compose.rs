//! The one place where the server's parts are chosen and put together.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::app::Hooks;
use super::config::{Config, ServiceConfig, StoreEngine};
use super::log;
use super::task::Task;
use crate::dialect::{self, Dialect};
use crate::grpc::{self, Grpc};
use crate::listen::http::HttpService;
use crate::listen::socket::SocketLimits;
use crate::model::{ListenerInfo, UserName};
use crate::service::{Account, Options, SWEEP_INTERVAL, Service};
use crate::store::{Clock, Engine, MemoryEngine, RedisEngine, StoreLimits};

/// Interval at which inactive sources of sign-ins are forgotten.
const RATES_INTERVAL: Duration = Duration::from_secs(60);

/// Returns the metrics in Prometheus' text format.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Parts of a server, except its sockets.
pub struct Parts<S> {
    /// Answers on the gRPC listeners.
    pub grpc: S,
    /// Service of the legacy protocols; without it they are not served.
    pub service: Option<Arc<Service>>,
    /// Content of `/metrics`.
    pub metrics: MetricsText,
    /// Background tasks.
    pub tasks: Vec<Task>,
}

/// Creates the parts that the configuration asks for.
pub(super) fn compose(
    config: &Config,
    hooks: Hooks,
) -> Result<Parts<impl HttpService + use<>>, Box<dyn Error + Send + Sync>> {
    let Hooks { ready, closed, limiters, addresses } = hooks;
    let service = Arc::new(Service::new(options(&config.service)?)?);
    let tls = config.tls.is_some();
    let listener = |(name, address): &(String, SocketAddr)| {
        let protocol =
            if name == grpc::PROTOCOL { grpc::PROTOCOL } else { dialect::find(name)?.name };
        Some(ListenerInfo {
            protocol,
            address: address.to_string(),
            tls: tls && name == grpc::PROTOCOL,
        })
    };
    service.set_listeners(addresses.all.iter().filter_map(listener).collect());
    let (grpc, health) = Grpc::new(Arc::clone(&service), &config.http.browsers)?;
    let [followed, sweeps, rates, measured] = std::array::from_fn(|_| Arc::clone(&service));
    let health = Arc::new(health);
    let metrics = move || {
        for limiter in &limiters {
            measured.metrics().set_connections(limiter.name(), limiter.stats().open);
        }
        measured.metrics().set_log_lines_dropped(log::lines_dropped());
        // Formatting into a string cannot fail.
        measured.metrics_text().unwrap_or_default()
    };
    let tasks = vec![
        Task::kept("health", move || {
            Arc::clone(&health).follow(ready.clone(), closed.clone(), followed.engine_health())
        }),
        Task::every("sweep", SWEEP_INTERVAL, move || sweeps.sweep()),
        Task::every("rates", RATES_INTERVAL, move || rates.sweep_rates()),
    ];
    Ok(Parts { grpc, service: Some(service), metrics: Arc::new(metrics), tasks })
}

/// Returns the limits of a legacy protocol's connections.
pub(super) fn socket_limits(config: &Config, dialect: &Dialect) -> SocketLimits {
    SocketLimits {
        idle: config.compat.idle(dialect),
        handshake: config.http.handshake,
        ping_after: config.http.keepalive_interval,
        pong_within: config.http.keepalive_timeout,
        browsers: Arc::clone(&config.http.browsers),
    }
}

/// Creates the configured store engine. For Redis, waits until it answers.
fn engine(config: &ServiceConfig, clock: &Clock) -> Result<Engine, Box<dyn Error + Send + Sync>> {
    let limits = StoreLimits::from(&config.limits);
    Ok(match &config.store {
        StoreEngine::Memory => Engine::Memory(MemoryEngine::new(clock.clone(), limits)),
        StoreEngine::Redis(options) => {
            Engine::Redis(RedisEngine::start(options.clone(), clock.clone(), limits)?)
        }
    })
}

fn options(config: &ServiceConfig) -> Result<Options, Box<dyn Error + Send + Sync>> {
    let clock = Clock::system();
    let account = |account: &super::config::AccountConfig| {
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
