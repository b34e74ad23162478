//! The engine that the server was started with, and its stores.

use crate::model::{Delete, Durability, Entry, Error, Key, Operations, Position, PutRef, Result};

use super::memory::{MemoryEngine, MemoryStore, Usage};
use super::redis::{RedisEngine, RedisStore};
use super::{Batched, Deleted, ListQuery, Listed, Once, Store, Watched, Written};

/// Engine of the server.
#[derive(Clone)]
pub enum Engine {
    /// In this process's memory.
    Memory(MemoryEngine),
    /// In Redis.
    Redis(RedisEngine),
}

impl Engine {
    /// Opens the store of the user with this id.
    pub fn open(&self, id: u64) -> Backend {
        match self {
            Self::Memory(engine) => Backend::Memory(engine.open()),
            Self::Redis(engine) => Backend::Redis(engine.open(id)),
        }
    }

    /// Name of the engine: `memory`, `redis` or `redis-cluster`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Redis(engine) => engine.name(),
        }
    }

    /// Durability of a write when it is answered.
    pub fn durability(&self) -> Durability {
        match self {
            Self::Memory(_) => Durability::Local,
            Self::Redis(engine) => engine.durability(),
        }
    }

    /// Returns true if its futures are ready at their first poll.
    pub const fn answers_at_once(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Watches whether the engine answers; `None`: it always does.
    pub fn health(&self) -> Option<tokio::sync::watch::Receiver<bool>> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(engine) => Some(engine.health()),
        }
    }

    /// Seconds by which the engine's clock is ahead of this machine's.
    pub fn clock_offset_seconds(&self) -> f64 {
        match self {
            Self::Memory(_) => 0.0,
            Self::Redis(engine) => engine.clock_offset_seconds(),
        }
    }

    /// Returns what is in all stores of this process's memory.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Memory(engine) => engine.usage(),
            Self::Redis(_) => Usage::default(),
        }
    }

    /// Bytes of changes that this process keeps for watches.
    pub fn change_bytes(&self) -> u64 {
        match self {
            Self::Memory(engine) => engine.change_bytes(),
            Self::Redis(engine) => engine.change_bytes(),
        }
    }

    /// Removes some of what has expired in this process's memory.
    pub fn sweep(&self) {
        match self {
            Self::Memory(engine) => drop(engine.sweep()),
            // Redis's functions do it.
            Self::Redis(_) => {}
        }
    }
}

/// One user's store, of the server's engine.
///
/// An enum instead of a trait object: the futures of the memory engine need no box and cost
/// nothing. Those of Redis are boxed, since they are large, and a call's future would have room for
/// them.
#[derive(Clone)]
pub enum Backend {
    /// In this process's memory.
    Memory(MemoryStore),
    /// In Redis.
    Redis(RedisStore),
}

impl Backend {
    /// Empties the store, since its user is gone.
    pub fn release(&self) {
        match self {
            Self::Memory(store) => store.release(),
            // In Redis it is removed with its user's record.
            Self::Redis(_) => {}
        }
    }
}

impl Store for Backend {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        match self {
            Self::Memory(store) => store.get(key).await,
            Self::Redis(store) => Box::pin(store.get(key)).await,
        }
    }

    async fn put(&self, put: PutRef<'_>, once: Option<Once<'_, Self>>) -> Result<Written> {
        match self {
            Self::Memory(store) => store.put(put, once.map(Once::for_memory).transpose()?).await,
            Self::Redis(store) => {
                Box::pin(store.put(put, once.map(Once::for_redis).transpose()?)).await
            }
        }
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        match self {
            Self::Memory(store) => {
                store.delete(delete, once.map(Once::for_memory).transpose()?).await
            }
            Self::Redis(store) => {
                Box::pin(store.delete(delete, once.map(Once::for_redis).transpose()?)).await
            }
        }
    }

    async fn batch(&self, operations: Operations, once: Option<Once<'_, Self>>) -> Result<Batched> {
        match self {
            Self::Memory(store) => {
                store.batch(operations, once.map(Once::for_memory).transpose()?).await
            }
            Self::Redis(store) => {
                Box::pin(store.batch(operations, once.map(Once::for_redis).transpose()?)).await
            }
        }
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        match self {
            Self::Memory(store) => store.list(query).await,
            Self::Redis(store) => Box::pin(store.list(query)).await,
        }
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        match self {
            Self::Memory(store) => store.watch(after).await,
            Self::Redis(store) => Box::pin(store.watch(after)).await,
        }
    }

    async fn position(&self) -> Result<Position> {
        match self {
            Self::Memory(store) => store.position().await,
            Self::Redis(store) => Box::pin(store.position()).await,
        }
    }
}

impl<'a> Once<'a, Backend> {
    fn for_memory(self) -> Result<Once<'a, MemoryStore>> {
        match self.caller {
            Backend::Memory(caller) => {
                Ok(Once { caller, id: self.id, fingerprint: self.fingerprint })
            }
            Backend::Redis(_) => Err(mixed()),
        }
    }

    fn for_redis(self) -> Result<Once<'a, RedisStore>> {
        match self.caller {
            Backend::Redis(caller) => {
                Ok(Once { caller, id: self.id, fingerprint: self.fingerprint })
            }
            Backend::Memory(_) => Err(mixed()),
        }
    }
}

/// `INTERNAL`: a server has one engine, so this does not happen.
fn mixed() -> Error {
    Error::internal("a caller's store is of another engine than the one it writes to")
}
