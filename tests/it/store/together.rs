//! Concurrent puts to one store: each has the same effect as alone.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use kvrpc::model::Reason;
use kvrpc::store::StoreLimits;

use super::{
    Engine, NO_LIMITS, Tested, Write, entry_bytes, for_each_engine, get, get_text, list, put,
    revision, write, write_if,
};

/// Runs all puts at once; returns the revision or the reason of each.
fn all_at_once<S: Tested>(store: &S, writes: &[Write]) -> Vec<Result<u64, Reason>> {
    let done = S::now(join_all(writes.iter().map(|write| store.put(write.to_ref(), None))));
    done.into_iter()
        .map(|done| done.map(|done| done.revision).map_err(|error| error.reason()))
        .collect()
}

fn count(done: &[Result<u64, Reason>], reason: Reason) -> usize {
    done.iter().filter(|done| **done == Err(reason)).count()
}

fn puts_that_come_together_are_each_as_if_alone<E: Engine>() {
    let (engine, _) = E::make(StoreLimits { max_keys_per_user: 10, ..NO_LIMITS });
    let store = engine.open();
    put(&store, write("first", "0")).unwrap();
    let mut writes = Vec::new();
    for number in 0..20 {
        writes.push(write(&format!("new {number}"), &format!("{number}")));
        writes.push(write_if("first", &format!("{number}"), 1));
    }
    writes.extend((0..20).map(|number| write("new 0", &format!("again {number}"))));
    let done = all_at_once(&store, &writes);
    let mut latest = BTreeMap::new();
    for (write, done) in writes.iter().zip(&done) {
        if let Ok(revision) = done {
            latest.insert(*revision, write);
        }
    }
    let all: Vec<u64> = latest.keys().copied().collect();
    assert_eq!(
        all,
        (2..2 + all.len() as u64).collect::<Vec<_>>(),
        "each its own revision: {done:?}"
    );
    assert_eq!(revision(&store), 1 + all.len() as u64);
    assert_eq!(store.usage().keys, 10);
    assert_eq!(
        count(&done, Reason::RevisionMismatch),
        19,
        "one of those that wanted the first revision: {done:?}"
    );
    let mut entries = BTreeMap::from([("first".to_owned(), (1, "0".to_owned()))]);
    for (revision, write) in latest {
        let value = write.value.as_text().unwrap().to_owned();
        entries.insert(write.key.as_str().to_owned(), (revision, value));
    }
    let mut bytes = 0;
    for (key, (revision, value)) in &entries {
        assert_eq!(get_text(&store, key).as_ref(), Some(value), "{key}");
        assert_eq!(get(&store, key).unwrap().revision, *revision, "{key}");
        bytes += entry_bytes(key, value);
    }
    assert_eq!((entries.len() as u64, bytes), (store.usage().keys, store.usage().bytes));
    let listed = list(&store, "", 1_000, 1 << 20)
        .into_iter()
        .flatten()
        .map(|row| row.key.as_str().to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), entries.into_keys().collect());
    engine.close([store]);
}

fn a_quota_holds_for_what_comes_together<E: Engine>() {
    let each = entry_bytes("key 0", "") + 1_000;
    let (engine, _) = E::make(StoreLimits { max_bytes_per_user: 5 * each, ..NO_LIMITS });
    let store = engine.open();
    put(&store, write("key 0", "")).unwrap();
    let large = "v".repeat(1_000);
    let writes: Vec<_> = (0..10).map(|number| write(&format!("key {number}"), &large)).collect();
    let done = all_at_once(&store, &writes);
    assert_eq!(count(&done, Reason::QuotaExceeded), 5, "{done:?}");
    assert!(store.usage().bytes <= 5 * each && store.usage().keys >= 5);
    // Writes that free memory count too.
    let done = all_at_once(
        &store,
        &writes.iter().map(|each| write(each.key.as_str(), "")).collect::<Vec<_>>(),
    );
    assert_eq!(count(&done, Reason::QuotaExceeded), 0, "{done:?}");
    engine.close([store]);
}

for_each_engine! {
    puts_that_come_together_are_each_as_if_alone
    a_quota_holds_for_what_comes_together
}
