//! The engine that keeps the stores, and its durability level.

use std::time::Duration;

use super::StoreEngine;
use super::parse::{Kind, Length, quoted};
use super::sources::{ConfigError, Sources};
use crate::store::redis::{DurabilityLevel, Patience, RedisOptions, RedisUrl};

/// Minimum of Redis' timeouts.
const LEAST: Duration = Duration::from_millis(10);
/// Maximum of Redis' timeouts.
const MOST: Duration = Duration::from_secs(60);

/// Reads `store`, `durability` and the table `[redis]`.
pub(super) fn read(s: &mut Sources) -> StoreEngine {
    let store = s.one("store", &Store, Location::Memory);
    let durability = s.optional("durability", &Durability);
    let (length, default) = (Length(LEAST..=MOST), Patience::default());
    let patience = Patience {
        connect: s.one("redis.connect-timeout", &length, default.connect),
        answer: s.one("redis.answer-timeout", &length, default.answer),
        replicas: s.one("redis.replicas-timeout", &length, default.replicas),
    };
    let namespace = s.one("redis.namespace", &Namespace, "kvrpc".to_owned());
    let Location::Redis(url) = store else {
        if durability.is_some_and(|level| level != DurabilityLevel::Local) {
            let rule = "needs --store redis://… or redis-cluster://…; memory promises local alone";
            s.report(ConfigError::new(s.place_of("durability"), rule));
        }
        return StoreEngine::Memory;
    };
    let mut options = RedisOptions::new(url);
    options.durability = durability.unwrap_or(options.durability);
    options.patience = patience;
    options.namespace = namespace;
    StoreEngine::Redis(options)
}

/// The place where the stores are kept.
enum Location {
    Memory,
    Redis(RedisUrl),
}

/// The setting of that place.
struct Store;

impl Kind<Location> for Store {
    fn rule(&self) -> String {
        "memory, redis://HOST:PORT or redis-cluster://HOST:PORT,HOST:PORT".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Location, String> {
        match text {
            "memory" => Ok(Location::Memory),
            _ if text.contains("://") => RedisUrl::parse(text).map(Location::Redis),
            _ => Err(format!("must be {}", self.rule())),
        }
    }

    fn redacted(&self, text: &str) -> String {
        // A password in the URL must not be repeated.
        match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://…@{hosts}"),
            _ => text.to_owned(),
        }
    }

    fn show(&self, value: &Location) -> String {
        match value {
            Location::Memory => quoted("memory"),
            Location::Redis(url) => quoted(&url.to_string()),
        }
    }
}

/// The prefix of all keys in Redis.
struct Namespace;

impl Kind<String> for Namespace {
    fn rule(&self) -> String {
        "1 to 32 letters, digits and -".to_owned()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let fits = plain && (1..=32).contains(&text.len());
        if fits { Ok(text.to_owned()) } else { Err(format!("must be {}", self.rule())) }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// The durability level of a write.
struct Durability;

impl Kind<DurabilityLevel> for Durability {
    fn rule(&self) -> String {
        "local, replicated:N or fsynced".to_owned()
    }

    fn parse(&self, text: &str) -> Result<DurabilityLevel, String> {
        DurabilityLevel::parse(text)
    }

    fn show(&self, value: &DurabilityLevel) -> String {
        quoted(&value.to_string())
    }
}
