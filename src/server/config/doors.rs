//! The doors of the older protocols: which, where, and how long their connections may idle.

use std::time::Duration;

use super::parse::{Kind, Length, Switch, quoted};
use super::sources::{Sources, Wrong};
use crate::dialect::{self, Dialect};
use crate::listen::Address;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A dialect and where it is served.
#[derive(Clone, Debug)]
pub struct CompatDoor {
    /// What is spoken.
    pub dialect: &'static Dialect,
    /// Where.
    pub address: Address,
}

/// The doors beside gRPC.
#[derive(Clone, Debug, Default)]
pub struct Compat {
    /// Each address with its dialect.
    pub doors: Vec<CompatDoor>,
    /// Nobody named them: an address that is taken is a warning then, and no failure.
    pub by_default: bool,
    /// How long a connection of a dialect may stay without a request, by the dialect's name.
    idle: Vec<(&'static str, Duration)>,
}

impl Compat {
    /// How long a connection may stay without a request; `None`: for ever.
    pub fn idle(&self, dialect: &Dialect) -> Option<Duration> {
        let set = self.idle.iter().find(|(name, _)| *name == dialect.name).map(|(_, idle)| *idle);
        set.filter(|idle| !idle.is_zero())
    }
}

/// The key of each dialect that has connections.
const IDLE_KEYS: &[(&str, &str)] = &[
    ("text", "doors.text-idle"),
    ("pickle", "doors.pickle-idle"),
    ("ws-pickle", "doors.ws-pickle-idle"),
    ("ws-text", "doors.ws-text-idle"),
    ("encode", "doors.encode-idle"),
    ("decode", "doors.decode-idle"),
    ("hello", "doors.hello-idle"),
    ("calc", "doors.calc-idle"),
    ("chat", "doors.chat-idle"),
];

/// What is served if nobody says otherwise.
const DEFAULT: &str = "text=127.0.0.1:5555";

pub(super) fn read(s: &mut Sources) -> Compat {
    let named = s.is_given("compat");
    let none = s.one("no-compat", &Switch, false);
    let default = if none { Vec::new() } else { Door.parse(DEFAULT).into_iter().collect() };
    let doors = s.many("compat", &Door, default);
    let insecure = s.one("insecure-compat", &Switch, false);
    if none && named {
        s.wrong(Wrong::new(
            s.place_of("no-compat"),
            format!("contradicts {}; leave one out", s.place_of("compat")),
        ));
    }
    for door in doors.iter().filter(|door| !insecure && !door.address.is_loopback()) {
        let place = format!("{} {door}", s.place_of("compat"));
        let rule = "is beyond loopback, and this protocol has no encryption: give --insecure-compat if everybody on that \
                    network may read and write what its clients do";
        s.wrong(Wrong::new(place, rule));
    }
    let mut idle = Vec::new();
    for (name, key) in IDLE_KEYS {
        let default = dialect::find(name).and_then(|dialect| dialect.idle).unwrap_or_default();
        // Zero: for ever.
        idle.push((*name, s.one(key, &Length(Duration::ZERO..=YEAR), default)));
    }
    Compat { doors, by_default: !named, idle }
}

impl std::fmt::Display for CompatDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.dialect.name, self.address)
    }
}

/// `DIALECT=ADDR`.
struct Door;

impl Kind<CompatDoor> for Door {
    fn rule(&self) -> String {
        format!(
            "DIALECT=ADDR, as in {DEFAULT}; the dialects are {}",
            served().collect::<Vec<_>>().join(", ")
        )
    }

    fn parse(&self, text: &str) -> Result<CompatDoor, String> {
        let (name, address) =
            text.split_once('=').ok_or_else(|| format!("must be {}", self.rule()))?;
        let dialect = dialect::find(name)
            .ok_or_else(|| format!("there is no such dialect: must be {}", self.rule()))?;
        let address = address.parse().map_err(|rule: &str| format!("the address {rule}"))?;
        Ok(CompatDoor { dialect, address })
    }

    fn show(&self, value: &CompatDoor) -> String {
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
    fn every_dialect_with_connections_has_a_key_for_its_idle_rule() {
        for dialect in dialect::ALL {
            let has = IDLE_KEYS
                .iter()
                .any(|(name, key)| *name == dialect.name && key.contains(dialect.name));
            assert_eq!(has, !matches!(dialect.transport, Transport::Udp(_)), "{}", dialect.name);
        }
    }

    #[test]
    fn a_door_is_a_dialect_and_an_address() {
        for (text, wanted) in [
            ("text=127.0.0.1:5555", Ok("text=127.0.0.1:5555")),
            ("decode=eth1:3000", Ok("decode=eth1:3000")),
            ("ws-text=[::1]:0", Ok("ws-text=[::1]:0")),
            ("127.0.0.1:5555", Err("DIALECT=ADDR")),
            ("smoke=127.0.0.1:1", Err("text, pickle")),
            ("text=127.0.0.1", Err("port")),
        ] {
            match (Door.parse(text), wanted) {
                (Ok(door), Ok(shown)) => assert_eq!(door.to_string(), shown),
                (Err(rule), Err(part)) => assert!(rule.contains(part), "{text}: {rule}"),
                (got, wanted) => panic!("{text}: {got:?}, but {wanted:?} was wanted"),
            }
        }
    }
}
