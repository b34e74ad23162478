//! The Redis engine under the tests of all engines, on one server and on a cluster.

use std::future::Future;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use kvrpc::model::UnixMillis;
use kvrpc::store::redis::{DurabilityLevel, RedisOptions, RedisUrl};
use kvrpc::store::{Clock, RedisEngine, RedisStore, StoreLimits, Usage};

use super::{Engine, START, Tested};
use crate::harness::{PATIENCE, new_namespace, shared_cluster, shared_redis};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// Runs an operation to its end.
pub(super) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// An engine and its open stores.
struct Opened {
    engine: RedisEngine,
    stores: Mutex<Vec<RedisStore>>,
}

impl Opened {
    fn new(url: &str, limits: StoreLimits) -> (Self, Clock) {
        let clock = Clock::manual(UnixMillis::new(START));
        let mut options = RedisOptions::new(RedisUrl::parse(url).unwrap());
        options.durability = DurabilityLevel::Local;
        options.patience.connect = PATIENCE;
        options.patience.answer = PATIENCE;
        options.namespace = new_namespace();
        let engine = RedisEngine::start(options, clock.clone(), limits).unwrap();
        (Self { engine, stores: Mutex::default() }, clock)
    }

    fn open(&self) -> RedisStore {
        let mut stores = self.stores.lock();
        let store = self.engine.open(stores.len() as u64 + 1);
        stores.push(store.clone());
        store
    }

    fn usage(&self) -> Usage {
        let mut all = Usage::default();
        for store in self.stores.lock().iter() {
            let usage = store.usage_now();
            all.keys += usage.keys;
            all.bytes += usage.bytes;
            all.request_id_bytes += usage.request_id_bytes;
        }
        all
    }

    fn sweep(&self) -> bool {
        self.stores.lock().iter().any(|store| RedisStore::now(store.sweep(4_096)).unwrap() == 4_096)
    }

    fn close(&self) {
        for store in self.stores.lock().drain(..) {
            RedisStore::now(store.remove()).unwrap();
            assert_eq!(store.usage_now(), Usage::default());
        }
    }
}

trait UsageNow {
    fn usage_now(&self) -> Usage;
}

impl UsageNow for RedisStore {
    fn usage_now(&self) -> Usage {
        Self::now(Self::usage(self)).unwrap()
    }
}

impl Tested for RedisStore {
    fn now<T>(future: impl Future<Output = T>) -> T {
        on_runtime(future)
    }

    fn usage(&self) -> Usage {
        self.usage_now()
    }
}

macro_rules! engine {
    ($(#[$doc:meta])* $name:ident, $shared:ident, $rounds:literal, $cases:literal) => {
        $(#[$doc])*
        pub(super) struct $name(Opened);

        impl Engine for $name {
            type Own = RedisStore;
            const COUNTS_ALL: bool = false;
            const ROUNDS: u64 = $rounds;
            const CASES: u32 = $cases;

            fn make(limits: StoreLimits) -> (Self, Clock) {
                let (opened, clock) = Opened::new(&$shared().url(), limits);
                (Self(opened), clock)
            }

            fn open(&self) -> RedisStore {
                self.0.open()
            }

            fn usage(&self) -> Usage {
                self.0.usage()
            }

            fn sweep(&self) -> bool {
                self.0.sweep()
            }

            fn close<const N: usize>(&self, stores: [RedisStore; N]) {
                drop(stores);
                self.0.close();
            }
        }
    };
}

engine! {
    /// On one server.
    Single, shared_redis, 10, 60
}
engine! {
    /// On a cluster of three masters.
    Clustered, shared_cluster, 3, 20
}
