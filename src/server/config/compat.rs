//! The listeners of the legacy protocols, and the idle timeouts of their connections.

use std::time::Duration;

use super::parse::{Kind, Length, Switch, quoted};
use super::sources::{ConfigError, Sources};
use crate::dialect::{self, Dialect};
use crate::listen::Address;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A listener of a legacy protocol.
#[derive(Clone, Debug)]
pub struct CompatListener {
    /// Its protocol.
    pub dialect: &'static Dialect,
    /// Its address.
    pub address: Address,
}

/// The listeners of all legacy protocols.
#[derive(Clone, Debug, Default)]
pub struct Compat {
    /// The listeners.
    pub listeners: Vec<CompatListener>,
    /// True if no setting names them: an address in use is a warning then, not an error.
    pub by_default: bool,
    /// Idle timeouts by the protocols' names; zero stands for none.
    idle: Vec<(&'static str, Duration)>,
}

impl Compat {
    /// Returns the time after which a connection without a request is closed, or `None` for
    /// never.
    pub fn idle(&self, dialect: &Dialect) -> Option<Duration> {
        let set = self.idle.iter().find(|(name, _)| *name == dialect.name).map(|(_, idle)| *idle);
        set.filter(|idle| !idle.is_zero())
    }
}

/// The keys of the idle timeouts, by the names of the protocols that have connections.
const IDLE_KEYS: &[(&str, &str)] = &[
    ("text", "protocols.text-idle"),
    ("pickle", "protocols.pickle-idle"),
    ("ws-pickle", "protocols.ws-pickle-idle"),
    ("ws-text", "protocols.ws-text-idle"),
    ("encode", "protocols.encode-idle"),
    ("decode", "protocols.decode-idle"),
    ("hello", "protocols.hello-idle"),
    ("calc", "protocols.calc-idle"),
    ("chat", "protocols.chat-idle"),
];

/// The listener that is open by default.
const DEFAULT: &str = "text=127.0.0.1:5555";

pub(super) fn read(s: &mut Sources) -> Compat {
    let named = s.is_given("compat");
    let none = s.one("no-compat", &Switch, false);
    let default = if none { Vec::new() } else { Listener.parse(DEFAULT).into_iter().collect() };
    let listeners = s.many("compat", &Listener, default);
    let insecure = s.one("insecure-compat", &Switch, false);
    if none && named {
        s.report(ConfigError::new(
            s.place_of("no-compat"),
            format!("contradicts {}; leave one out", s.place_of("compat")),
        ));
    }
    for listener in listeners.iter().filter(|l| !insecure && !l.address.is_loopback()) {
        let place = format!("{} {listener}", s.place_of("compat"));
        let rule = "is beyond loopback, and this protocol has no encryption: give \
            --insecure-compat if everybody on that network may read and write what its clients \
            do";
        s.report(ConfigError::new(place, rule));
    }
    let mut idle = Vec::new();
    for (name, key) in IDLE_KEYS {
        let default = dialect::find(name).and_then(|dialect| dialect.idle).unwrap_or_default();
        idle.push((*name, s.one(key, &Length(Duration::ZERO..=YEAR), default)));
    }
    Compat { listeners, by_default: !named, idle }
}

impl std::fmt::Display for CompatListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.dialect.name, self.address)
    }
}

/// A setting of the form `DIALECT=ADDR`.
struct Listener;

impl Kind<CompatListener> for Listener {
    fn rule(&self) -> String {
        format!(
            "DIALECT=ADDR, as in {DEFAULT}; the dialects are {}",
            served().collect::<Vec<_>>().join(", ")
        )
    }

    fn parse(&self, text: &str) -> Result<CompatListener, String> {
        let (name, address) =
            text.split_once('=').ok_or_else(|| format!("must be {}", self.rule()))?;
        let dialect = dialect::find(name)
            .ok_or_else(|| format!("there is no such dialect: must be {}", self.rule()))?;
        let address = address.parse().map_err(|rule: &str| format!("the address {rule}"))?;
        Ok(CompatListener { dialect, address })
    }

    fn show(&self, value: &CompatListener) -> String {
        quoted(&value.to_string())
    }
}

fn served() -> impl Iterator<Item = &'static str> {
    dialect::ALL.iter().map(|dialect| dialect.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Transport;

    #[test]
    fn every_protocol_with_connections_has_an_idle_key() {
        for dialect in dialect::ALL {
            let has = IDLE_KEYS
                .iter()
                .any(|(name, key)| *name == dialect.name && key.contains(dialect.name));
            assert_eq!(has, !matches!(dialect.transport, Transport::Udp(_)), "{}", dialect.name);
        }
    }

    #[test]
    fn a_listener_is_a_dialect_and_an_address() {
        for (text, wanted) in [
            ("text=127.0.0.1:5555", Ok("text=127.0.0.1:5555")),
            ("decode=eth1:3000", Ok("decode=eth1:3000")),
            ("ws-text=[::1]:0", Ok("ws-text=[::1]:0")),
            ("127.0.0.1:5555", Err("DIALECT=ADDR")),
            ("smoke=127.0.0.1:1", Err("text, pickle")),
            ("text=127.0.0.1", Err("port")),
        ] {
            match (Listener.parse(text), wanted) {
                (Ok(listener), Ok(shown)) => assert_eq!(listener.to_string(), shown),
                (Err(rule), Err(part)) => assert!(rule.contains(part), "{text}: {rule}"),
                (got, wanted) => panic!("{text}: {got:?}, but {wanted:?} was wanted"),
            }
        }
    }
}
