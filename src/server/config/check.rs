//! Checks a configuration, and collects all errors in one run.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::parse::{
    Count, FileName, Header, Host, Kind, Length, OneOf, Parsed, Switch, WebOrigin, quoted,
};
use super::sources::{ConfigError, RawConfig, Sources};
use super::{Config, Log, LogFormat, ServiceConfig, TlsFiles, accounts, compat, limits, store};
use crate::listen::Address;
use crate::listen::http::Browsers;
use crate::model::UpgradePolicy;

const HOUR: Duration = Duration::from_secs(3_600);

const ADDRESS: Parsed = Parsed("`host:port` or `interface:port`");

impl RawConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// All mistakes, each with its flag, variable or line, the value and the rule.
    pub fn check(self) -> Result<Config, Vec<ConfigError>> {
        let mut sources = Sources::read(self);
        let s = &mut sources;
        let listen = s.at_least_one("listen", &ADDRESS, default_listen());
        let admin_listen: Option<Address> = s.optional("admin-listen", &ADDRESS);
        let compat = compat::read(s);
        let insecure = s.one("insecure", &Switch, false);
        let store = store::read(s);
        let upgrade_policy = s.one("upgrade-policy", &POLICIES, UpgradePolicy::Managers);
        let tls = tls_files(s);
        let browsers = Browsers {
            origins: s.many("allow-origin", &WebOrigin, Vec::new()),
            headers: s.many("allow-header", &Header, Vec::new()),
            hosts: s.many("allow-host", &Host, Vec::new()),
        };
        let grace = s.one("grace", &Length(Duration::ZERO..=HOUR), Duration::from_secs(10));
        let drain_delay = s.one("drain-delay", &Length(Duration::ZERO..=HOUR), Duration::ZERO);
        let threads =
            s.one("threads", &Count(1..=1_024), available_parallelism().map_or(1, NonZero::get));
        let log = Log {
            format: s.one("log", &LOG_FORMATS, LogFormat::Text),
            filter: s.one("log-level", &Filter, "info".to_owned()),
        };
        let limits = limits::read(s);
        let accounts = accounts::read(s);

        if tls.is_none() && !insecure {
            refuse_plaintext(s, &listen);
        }
        let mut warnings = Vec::new();
        if let Some(admin) = admin_listen.as_ref().filter(|admin| !admin.is_loopback()) {
            warnings.push(format!(
                "{} {admin} is beyond loopback: everybody there can read the metrics",
                s.place_of("admin-listen")
            ));
        }
        if tls.is_none() && listen.iter().any(|address| !address.is_loopback()) {
            warnings.push(
                "gRPC is served beyond loopback without TLS: tokens and values can be read on \
                 the way"
                    .to_owned(),
            );
        }
        for listener in compat.listeners.iter().filter(|l| !l.address.is_loopback()) {
            warnings.push(format!(
                "--compat {listener} is beyond loopback: what its clients send can be read on \
                 the way"
            ));
        }
        if upgrade_policy == UpgradePolicy::Open {
            warnings.push(
                "the upgrade policy is open: every guest can read the stores of other guests"
                    .to_owned(),
            );
        }
        let effective = sources.finish()?;
        Ok(Config {
            listen,
            admin_listen,
            compat,
            tls,
            threads,
            grace,
            drain_delay,
            log,
            connections: limits.connections as usize,
            http: limits::of_http(&limits, browsers, grace),
            service: ServiceConfig { store, upgrade_policy, accounts, limits },
            warnings,
            effective,
        })
    }
}

const POLICIES: OneOf<UpgradePolicy> =
    OneOf(&[("managers", UpgradePolicy::Managers), ("open", UpgradePolicy::Open)]);
const LOG_FORMATS: OneOf<LogFormat> = OneOf(&[
    (LogFormat::Text.as_str(), LogFormat::Text),
    (LogFormat::Json.as_str(), LogFormat::Json),
]);

fn default_listen() -> Vec<Address> {
    "127.0.0.1:50051".parse().into_iter().collect()
}

fn refuse_plaintext(s: &mut Sources, listen: &[Address]) {
    for address in listen.iter().filter(|address| !address.is_loopback()) {
        let place = format!("{} {address}", s.place_of("listen"));
        let rule = "is beyond loopback, and there is no TLS: give --tls-cert and --tls-key, or \
            --insecure if everybody on that network may read the tokens and values";
        s.report(ConfigError::new(place, rule));
    }
}

fn tls_files(s: &mut Sources) -> Option<TlsFiles> {
    let cert = s.optional("tls-cert", &FileName);
    let key = s.optional("tls-key", &FileName);
    let client_ca = s.optional("tls-client-ca", &FileName);
    match (cert, key) {
        (Some(cert), Some(key)) => return Some(TlsFiles { cert, key, client_ca }),
        (Some(_), None) => {
            s.report(ConfigError::new(s.place_of("tls-cert"), "needs --tls-key beside it"))
        }
        (None, Some(_)) => {
            s.report(ConfigError::new(s.place_of("tls-key"), "needs --tls-cert beside it"))
        }
        (None, None) if client_ca.is_some() => {
            s.report(ConfigError::new(
                s.place_of("tls-client-ca"),
                "needs --tls-cert and --tls-key beside it",
            ));
        }
        (None, None) => {}
    }
    None
}

/// A filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
struct Filter;

impl Kind<String> for Filter {
    fn rule(&self) -> String {
        "a level, or a filter as in warn,kvrpc=debug".to_owned()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let error = |why: &str| format!("must be {}{why}", self.rule());
        if text.trim().is_empty() {
            return Err(error(""));
        }
        EnvFilter::builder()
            .parse(text)
            .map(|_| text.to_owned())
            .map_err(|cause| error(&format!(": {cause}")))
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}
