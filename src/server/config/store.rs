//! The engine that keeps the stores, and its durability level.

use std::time::Duration;

use super::StoreEngine;
use super::parse::{Kind, Length, quoted};
use super::sources::{Sources, Wrong};
use crate::store::redis::{DurabilityLevel, Patience, RedisOptions, RedisUrl};

const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(60);

/// Reads `store`, `durability`, and how long Redis is waited for.
pub(super) fn read(s: &mut Sources) -> StoreEngine {
    let store = s.one("store", &Store, Named::Memory);
    let durability = s.optional("durability", &Durability);
    let (length, default) = (Length(LEAST..=MOST), Patience::default());
    let patience = Patience {
        connect: s.one("redis.connect-timeout", &length, default.connect),
        answer: s.one("redis.answer-timeout", &length, default.answer),
        replicas: s.one("redis.replicas-timeout", &length, default.replicas),
    };
    let namespace = s.one("redis.namespace", &Namespace, "kvrpc".to_owned());
    let Named::Redis(url) = store else {
        if durability.is_some_and(|level| level != DurabilityLevel::Local) {
            let rule = "needs --store redis://… or redis-cluster://…; memory promises local alone";
            s.wrong(Wrong::new(s.place_of("durability"), rule));
        }
        return StoreEngine::Memory;
    };
    let mut options = RedisOptions::new(url);
    options.durability = durability.unwrap_or(options.durability);
    options.patience = patience;
    options.namespace = namespace;
    StoreEngine::Redis(options)
}

enum Named {
    Memory,
    Redis(RedisUrl),
}

struct Store;

impl Kind<Named> for Store {
    fn rule(&self) -> String {
        "memory, redis://HOST:PORT or redis-cluster://HOST:PORT,HOST:PORT".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Named, String> {
        match text {
            "memory" => Ok(Named::Memory),
            _ if text.contains("://") => RedisUrl::parse(text).map(Named::Redis),
            _ => Err(format!("must be {}", self.rule())),
        }
    }

    fn tell(&self, text: &str) -> String {
        // What may be a password stays out of the message.
        match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://…@{hosts}"),
            _ => text.to_owned(),
        }
    }

    fn show(&self, value: &Named) -> String {
        match value {
            Named::Memory => quoted("memory"),
            Named::Redis(url) => quoted(&url.to_string()),
        }
    }
}

/// What all keys begin with.
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
