//! Settings of the Redis engine: its URL, durability level and timeouts.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// URL of the engine: `redis://`, `rediss://` (TLS), or `redis-cluster://`, `rediss-cluster://`
/// with one or more of the cluster's nodes.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// The URL without its login.
    shown: String,
    /// URLs of the nodes that were named; one for a single server.
    nodes: Vec<String>,
    /// True for a cluster.
    pub cluster: bool,
}

const RULE: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or \
                    redis-cluster://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]";

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The rule that it breaks; never the password in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("must be {RULE}"))?;
        let (cluster, scheme) = match scheme {
            "redis" | "rediss" => (false, scheme),
            "redis-cluster" => (true, "redis"),
            "rediss-cluster" => (true, "rediss"),
            _ => return Err(format!("has an unknown scheme: must be {RULE}")),
        };
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), rest),
        };
        if !cluster && hosts.contains(',') {
            return Err(format!("names several nodes, and is no redis-cluster://: must be {RULE}"));
        }
        if cluster && hosts.contains('/') {
            return Err("names a database, and a cluster has only one".to_owned());
        }
        let nodes: Vec<String> =
            hosts.split(',').map(|host| format!("{scheme}://{login}{host}")).collect();
        for node in &nodes {
            let info = node.as_str().into_connection_info();
            info.map_err(|error| format!("is no address of Redis ({error}): must be {RULE}"))?;
        }
        let shown = format!("{}{scheme}{}://{hosts}", "", if cluster { "-cluster" } else { "" });
        Ok(Self { shown, nodes, cluster })
    }

    /// Nodes that were named.
    pub(super) fn nodes(&self) -> Vec<ConnectionInfo> {
        self.nodes.iter().filter_map(|node| node.as_str().into_connection_info().ok()).collect()
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// The password stays out of logs.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({})", self.shown)
    }
}

/// Durability level: the durability of a write when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityLevel {
    /// The master has the write in memory.
    Local,
    /// This number of replicas have the write too.
    Replicated(u32),
    /// The master has the write on disk: `appendonly yes` and `appendfsync always`, which is
    /// checked when the server starts.
    Fsynced,
}

impl DurabilityLevel {
    /// Parses `local`, `replicated:N` or `fsynced`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let replicas =
            |number: &str| number.parse().ok().filter(|number| (1..=16).contains(number));
        match text.split_once(':') {
            None if text == "local" => Ok(Self::Local),
            None if text == "fsynced" => Ok(Self::Fsynced),
            None if text == "replicated" => Ok(Self::Replicated(1)),
            Some(("replicated", number)) => replicas(number)
                .map(Self::Replicated)
                .ok_or_else(|| "must be replicated:N with N from 1 to 16 replicas".to_owned()),
            None | Some(_) => Err("must be local, replicated:N or fsynced".to_owned()),
        }
    }
}

impl fmt::Display for DurabilityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Replicated(replicas) => write!(f, "replicated:{replicas}"),
            Self::Fsynced => f.write_str("fsynced"),
        }
    }
}

/// Timeouts of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Time for a connection to a node.
    pub connect: Duration,
    /// Time for an answer, without that of the replicas.
    pub answer: Duration,
    /// Time for the replicas.
    pub replicas: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(2),
            replicas: Duration::from_secs(1),
        }
    }
}

/// Options of a Redis engine.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// URL of the engine.
    pub url: RedisUrl,
    /// Durability level of writes.
    pub durability: DurabilityLevel,
    /// Timeouts.
    pub patience: Patience,
    /// Prefix of all keys: letters, digits and `-`. Engines with different namespaces on one Redis
    /// do not see each other.
    pub namespace: String,
}

impl RedisOptions {
    /// Default options for a URL.
    pub fn new(url: RedisUrl) -> Self {
        let durability =
            if url.cluster { DurabilityLevel::Replicated(1) } else { DurabilityLevel::Local };
        Self { url, durability, patience: Patience::default(), namespace: "kvrpc".to_owned() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server_or_a_clusters_nodes() {
        for (text, shown, nodes) in [
            ("redis://h", "redis://h", 1),
            ("rediss://h:1/2", "rediss://h:1/2", 1),
            ("redis://user:se%40cret@h:1", "redis://h:1", 1),
            ("redis-cluster://h:1,i:2,[::1]:3", "redis-cluster://h:1,i:2,[::1]:3", 3),
            ("rediss-cluster://:pw@h:1,i:2", "rediss-cluster://h:1,i:2", 2),
        ] {
            let url = RedisUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.nodes().len()), (shown, nodes), "{text}");
            assert!(!format!("{url:?}").contains("se"), "{url:?}");
            assert_eq!(url.cluster, text.contains("cluster"));
        }
        for (text, part) in [
            ("memory", "redis://"),
            ("http://h", "unknown scheme"),
            ("redis://h:port", "redis://"),
            ("redis://", "redis://"),
            ("redis://h/x", "database"),
            ("redis://h,i", "redis-cluster://"),
            ("redis-cluster://h:1/2", "only one"),
            ("redis-cluster://h:1,", "redis-cluster://"),
        ] {
            let rule = RedisUrl::parse(text).unwrap_err();
            assert!(rule.contains(part), "{text}: {rule}");
        }
    }

    #[test]
    fn a_durability_level_is_what_it_is_called() {
        for text in ["local", "fsynced", "replicated:1", "replicated:16"] {
            assert_eq!(DurabilityLevel::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(DurabilityLevel::parse("replicated").unwrap(), DurabilityLevel::Replicated(1));
        for text in ["", "replicated:0", "replicated:17", "replicated:x", "fsync", "local:1"] {
            assert!(DurabilityLevel::parse(text).is_err(), "{text}");
        }
    }
}
