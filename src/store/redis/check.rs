//! Checks at the start that Redis can be used. Only after all of them is anything written: the
//! functions, and the mark of the namespace.

use std::sync::Arc;

use redis::{Cmd, Value, cmd};

use super::library;
use super::node::RedisNode;
use super::settings::{DurabilityLevel, RedisOptions};
use super::topology::{SLOTS, Topology, slot_of, text};

/// Oldest major version of Redis that has functions.
const OLDEST: u32 = 7;
/// Value of the namespace's mark: the version of the stored data.
const MARK: &str = "kvrpc 1";

/// Checks everything, loads the functions and marks the namespace.
///
/// # Errors
/// The first thing that is wrong, in one sentence.
pub(super) async fn check(topology: &Arc<Topology>, options: &RedisOptions) -> Result<(), String> {
    let first = reachable(topology).await?;
    server(&first, options.url.cluster).await?;
    if options.url.cluster {
        covered(topology).await?;
    }
    let masters = topology.masters();
    for master in &masters {
        server(master, options.url.cluster).await?;
        eviction(master).await?;
        if options.durability == DurabilityLevel::Fsynced {
            fsynced(master).await?;
        }
    }
    if let DurabilityLevel::Replicated(wanted) = options.durability {
        replicated(&masters, wanted).await?;
    }
    let mut without = Vec::new();
    for master in &masters {
        if !has_library(master).await? {
            without.push(master);
        }
    }
    let marked = is_marked(topology, &masters, &options.namespace).await?;
    for master in without {
        ask(master, &library::load()).await?;
    }
    if !marked {
        let (node, key) = mark(topology, &options.namespace)?;
        ask(&node, cmd("SET").arg(key).arg(MARK).arg("NX")).await?;
    }
    Ok(())
}

async fn ask(node: &RedisNode, command: &Cmd) -> Result<Value, String> {
    match node.ask(command, false).await {
        Ok(Value::ServerError(error)) => Err(format!("{} refuses: {error}", node.address)),
        Ok(value) => Ok(value),
        Err(failure) => Err(format!("{} cannot be used: {}", node.address, failure.into_text())),
    }
}

/// Returns the first of the named nodes that answers.
async fn reachable(topology: &Topology) -> Result<Arc<RedisNode>, String> {
    let mut first_wrong = None;
    for node in topology.nodes() {
        match ask(&node, &cmd("PING")).await {
            Ok(_) => return Ok(node),
            Err(why) => first_wrong = first_wrong.or(Some(why)),
        }
    }
    Err(first_wrong.unwrap_or_else(|| "it names no node".to_owned()))
}

/// Returns a field of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

async fn info(node: &RedisNode, section: &str) -> Result<String, String> {
    let answer = ask(node, cmd("INFO").arg(section)).await?;
    text(&answer).ok_or_else(|| format!("{} does not answer INFO as Redis does", node.address))
}

async fn server(node: &RedisNode, cluster: bool) -> Result<(), String> {
    let info = info(node, "server").await?;
    let version = field(&info, "redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(format!(
            "{} is Redis {version}; Redis 7.0 or Valkey 7.2 is the oldest that will do",
            node.address
        ));
    }
    match (cluster, field(&info, "redis_mode")) {
        (true, Some("cluster")) => Ok(()),
        (true, _) => {
            Err(format!("{} is no node of a cluster; name it with redis://", node.address))
        }
        (false, Some("cluster")) => {
            Err(format!("{} is a node of a cluster; name it with redis-cluster://", node.address))
        }
        (false, _) => Ok(()),
    }
}

async fn covered(topology: &Topology) -> Result<(), String> {
    if !topology.refresh().await {
        return Err("no node says which node has which slot; is the cluster made?".to_owned());
    }
    let missing = (0..SLOTS).filter(|slot| topology.of(*slot).is_none()).count();
    if missing > 0 {
        return Err(format!("{missing} of the cluster's {SLOTS} slots are at no node"));
    }
    Ok(())
}

/// Returns a value of CONFIG GET; `None` where that is not allowed.
async fn setting(node: &RedisNode, name: &str) -> Option<String> {
    let answer = node.ask(cmd("CONFIG").arg("GET").arg(name), false).await.ok()?;
    match answer {
        Value::Map(pairs) => pairs.first().and_then(|(_, value)| text(value)),
        Value::Array(both) => both.get(1).and_then(text),
        _ => None,
    }
}

/// Checks that a full Redis refuses writes and does not evict keys.
async fn eviction(node: &RedisNode) -> Result<(), String> {
    match (setting(node, "maxmemory").await, setting(node, "maxmemory-policy").await) {
        (Some(most), Some(policy)) if most != "0" && policy != "noeviction" => Err(format!(
            "{} forgets keys when its memory is full (maxmemory-policy {policy}); set \
             maxmemory-policy noeviction",
            node.address
        )),
        _ => Ok(()),
    }
}

async fn fsynced(node: &RedisNode) -> Result<(), String> {
    match (setting(node, "appendonly").await, setting(node, "appendfsync").await) {
        (Some(only), Some(sync)) if only == "yes" && sync == "always" => Ok(()),
        (Some(only), Some(sync)) => Err(format!(
            "--durability fsynced needs appendonly yes and appendfsync always; {} has {only} and \
             {sync}",
            node.address
        )),
        _ => Err(format!(
            "--durability fsynced needs to see the configuration of {}, which refuses",
            node.address
        )),
    }
}

async fn replicated(masters: &[Arc<RedisNode>], wanted: u32) -> Result<(), String> {
    let mut short = Vec::new();
    for master in masters {
        let info = info(master, "replication").await?;
        let replicas = field(&info, "connected_slaves")
            .and_then(|count| count.parse::<u32>().ok())
            .unwrap_or(0);
        if replicas < wanted {
            short.push(format!("{} has {replicas}", master.address));
        }
    }
    if !short.is_empty() && short.len() == masters.len() {
        return Err(format!(
            "--durability replicated:{wanted} needs {wanted} replicas of each node, and {}; add \
             replicas, or choose --durability local",
            short.join(", ")
        ));
    }
    if !short.is_empty() {
        tracing::warn!(
            "--durability replicated:{wanted}: {}; writes there will end as OUTCOME_UNKNOWN",
            short.join(", ")
        );
    }
    Ok(())
}

/// Returns true if the node has this version's functions, from the same source.
async fn has_library(node: &RedisNode) -> Result<bool, String> {
    let Value::Array(libraries) = ask(node, &library::list()).await? else {
        return Err(format!("{} does not list its functions as Redis does", node.address));
    };
    let mut there = false;
    for library in libraries {
        let pairs = match library {
            Value::Map(pairs) => pairs,
            _ => continue,
        };
        let part = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| text(key).as_deref() == Some(name))
                .and_then(|(_, value)| text(value))
        };
        let Some(version) = part("library_name").as_deref().and_then(library::version_of) else {
            continue;
        };
        if version > library::VERSION {
            return Err(format!(
                "{} has the functions of version {version}, of a newer kvrpc-server; this one \
                 knows version {}",
                node.address,
                library::VERSION
            ));
        }
        there |= version == library::VERSION
            && part("library_code").is_some_and(|code| code == library::source());
    }
    Ok(there)
}

fn mark(topology: &Topology, namespace: &str) -> Result<(Arc<RedisNode>, String), String> {
    let key = format!("{namespace}:{{schema}}");
    let node =
        topology.of(slot_of("schema")).ok_or("no node has the slot of the namespace's mark")?;
    Ok((node, key))
}

/// Returns true if the namespace is marked as kvrpc's. One without a mark must be empty.
async fn is_marked(
    topology: &Topology,
    masters: &[Arc<RedisNode>],
    namespace: &str,
) -> Result<bool, String> {
    let (node, key) = mark(topology, namespace)?;
    let foreign = |what: String| {
        Err(format!("{what}: it belongs to something else than kvrpc-server; use another database"))
    };
    match node.ask(cmd("GET").arg(&key), false).await {
        Ok(Value::BulkString(mark)) if mark == MARK.as_bytes() => return Ok(true),
        Ok(Value::BulkString(mark)) => {
            let mark = String::from_utf8_lossy(&mark).into_owned();
            return match mark.strip_prefix("kvrpc ") {
                Some(version) => Err(format!(
                    "its data are of version {version:?}; this kvrpc-server knows version 1"
                )),
                None => foreign(format!("the key {key} says {mark:?}")),
            };
        }
        Ok(Value::Nil) => {}
        Ok(_) => return foreign(format!("the key {key} is no string")),
        Err(failure) => {
            return Err(format!("{} cannot be used: {}", node.address, failure.into_text()));
        }
    }
    for master in masters {
        if let Some(key) = first_key(master, namespace).await? {
            return foreign(format!("{} has a key {key:?}, but no mark of ours", master.address));
        }
    }
    Ok(false)
}

/// Returns any key in the namespace.
async fn first_key(node: &RedisNode, namespace: &str) -> Result<Option<String>, String> {
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(format!("{namespace}:*")).arg("COUNT").arg(1_000);
        let Value::Array(answer) = ask(node, &scan).await? else {
            return Err(format!("{} does not answer SCAN as Redis does", node.address));
        };
        let mut answer = answer.into_iter();
        cursor = answer.next().as_ref().and_then(text).unwrap_or_else(|| "0".to_owned());
        if let Some(Value::Array(keys)) = answer.next()
            && let Some(key) = keys.first()
        {
            return Ok(Some(text(key).unwrap_or_else(|| "…".to_owned())));
        }
        if cursor == "0" {
            return Ok(None);
        }
    }
}
