//! The engine that a server was started with.

use crate::model::{Delete, Entry, Key, Position, Result};

use super::memory::MemoryStore;
use super::{Batched, Deleted, ListQuery, Listed, Once, Step, Store, Watched, Write, Written};

/// One user's store, of the engine that the server was started with.
///
/// An enum and no trait object: its futures need no box, and those of the memory engine cost nothing.
#[derive(Clone)]
pub enum Backend {
    /// In this process's memory.
    Memory(MemoryStore),
}

impl Backend {
    /// Gives back what the store holds, since its user is gone.
    pub fn release(&self) {
        match self {
            Self::Memory(store) => store.release(),
        }
    }
}

impl Store for Backend {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        match self {
            Self::Memory(store) => store.get(key).await,
        }
    }

    async fn put(&self, write: Write, once: Option<Once<'_, Self>>) -> Result<Written> {
        match self {
            Self::Memory(store) => store.put(write, once.map(Once::for_memory)).await,
        }
    }

    async fn delete(&self, delete: Delete, once: Option<Once<'_, Self>>) -> Result<Deleted> {
        match self {
            Self::Memory(store) => store.delete(delete, once.map(Once::for_memory)).await,
        }
    }

    async fn batch(&self, steps: Vec<Step>, once: Option<Once<'_, Self>>) -> Result<Batched> {
        match self {
            Self::Memory(store) => store.batch(steps, once.map(Once::for_memory)).await,
        }
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listed> {
        match self {
            Self::Memory(store) => store.list(query).await,
        }
    }

    async fn watch(&self, after: Option<Position>) -> Result<Watched> {
        match self {
            Self::Memory(store) => store.watch(after).await,
        }
    }

    async fn position(&self) -> Result<Position> {
        match self {
            Self::Memory(store) => store.position().await,
        }
    }
}

impl<'a> Once<'a, Backend> {
    fn for_memory(self) -> Once<'a, MemoryStore> {
        let Backend::Memory(caller) = self.caller;
        Once { caller, id: self.id, fingerprint: self.fingerprint }
    }
}
