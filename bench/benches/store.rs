//! Time of the memory engine's operations, on a small store and on a large one.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;

use kvrpc::model::{Key, OperationRef, Operations, Prefix, Put, Value};
use kvrpc::store::{Clock, ListParts, ListQuery, MemoryEngine, MemoryStore, Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NO_LIMITS: StoreLimits = StoreLimits {
    max_keys_per_user: u64::MAX,
    max_bytes_per_user: u64::MAX,
    max_bytes_total: u64::MAX,
};

fn key(number: usize) -> Key {
    Key::new(format!("key:{number:012}")).unwrap()
}

fn write(number: usize) -> Put {
    Put {
        key: key(number),
        value: Value::text("v".repeat(100)).unwrap(),
        expiry: None,
        if_revision: None,
        request_id: None,
    }
}

fn filled(keys: usize) -> MemoryStore {
    let store = MemoryEngine::new(Clock::system(), NO_LIMITS).open();
    for number in 0..keys {
        store.put(write(number).to_ref(), None).now_or_never().unwrap().unwrap();
    }
    store
}

/// Resident bytes of this process; 0 where there is no `/proc`.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0)
        * 1024
}

/// 100 operations.
fn batch(mut add: impl FnMut(&mut Operations)) -> Operations {
    let mut operations = Operations::default();
    (0..100).for_each(|_| add(&mut operations));
    operations
}

fn operations(criterion: &mut Criterion) {
    // The large store first: its memory is measured in a process that has nothing yet to use again.
    for keys in [1_000_000, 1_000] {
        let before = resident_bytes();
        let store = filled(keys);
        let each = resident_bytes().saturating_sub(before) as f64 / keys as f64;
        if keys > 1_000 {
            eprintln!("{keys} keys of 16 bytes, values of 100: {each:.1} resident bytes each");
        }

        // Each time another key, in an order that no cache foresees.
        let mut at = 0;
        let mut next = || {
            at = (at + 7_919 * 31) % keys;
            at
        };
        let mut group = criterion.benchmark_group(format!("store of {keys}"));
        group.bench_function("get", |bencher| {
            bencher.iter_batched(
                || key(next()),
                |key| black_box(store.get(&key).now_or_never()),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("put over", |bencher| {
            bencher.iter_batched(
                || write(next()),
                |write| store.put(write.to_ref(), None).now_or_never(),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("batch of 100 gets", |bencher| {
            let mut operations =
                || batch(|to| to.push(OperationRef::Get { key: key(next()).as_str().as_bytes() }));
            bencher.iter_batched(
                &mut operations,
                |operations: Operations| store.batch(operations, None).now_or_never(),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("batch of 100 puts", |bencher| {
            let mut operations = || batch(|to| to.push(OperationRef::Put(write(next()).to_ref())));
            bencher.iter_batched(
                &mut operations,
                |operations: Operations| store.batch(operations, None).now_or_never(),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("list of 100", |bencher| {
            let prefix = Prefix::default();
            let list = |after: Key| {
                let query = ListQuery {
                    prefix: &prefix,
                    after: Some(&after),
                    max_rows: 100,
                    max_bytes: 1 << 20,
                    parts: ListParts::Headers,
                };
                black_box(store.list(query).now_or_never())
            };
            bencher.iter_batched(|| key(next()), list, BatchSize::SmallInput);
        });
        group.finish();
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
