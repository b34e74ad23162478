//! Checks that let threads race and examine their observations. Each returns the first violation
//! that it finds, so that the checks that must find none in the engine must also find the bugs that
//! are seeded into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use kvrpc::model::{ListedEntry, Outcome, Prefix, Reason};
use kvrpc::store::{ENTRY_OVERHEAD_BYTES, ListParts, ListQuery};

use super::checker::{Event, Op, Violation, linearizable};
use super::{
    Engine, NO_LIMITS, START, Step, Tested, Write, batch, delete, get, get_text, key, list, ms,
    once, put, put_once, removal, revision, write, write_if, write_until,
};

type Checked = Result<(), Violation>;

/// A check: one round with random choices by seed.
pub(super) type Check = fn(u64) -> Checked;

/// All checks.
pub(super) fn all<E: Engine>() -> [(&'static str, Check); 7] {
    [
        ("keys are linearizable, revisions unique, quotas exact", registers::<E>),
        ("a batch happens at one instant, or not at all", batches::<E>),
        ("a request id is applied once", request_ids::<E>),
        ("a listing has every key that stays exactly once", listings::<E>),
        ("what has expired is gone for good", expiries::<E>),
        ("two users' stores do not mix", two_users::<E>),
        ("a retry changes nothing and gets the first answer", retries::<E>),
    ]
}

const THREADS: usize = 4;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation(otherwise())) }
}

/// Runs threads concurrently and returns their results.
fn race<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let spawned = (0..threads).map(|thread| {
            scope.spawn(move || {
                start.wait();
                work(thread)
            })
        });
        let spawned: Vec<_> = spawned.collect();
        spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn rng(seed: u64, thread: usize) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(thread as u64))
}

/// Returns the keys and bytes of a store by its own listing, as quotas count them.
fn listed_bytes(store: &impl Tested) -> (u64, u64) {
    let rows: Vec<_> = list(store, "", 1_000, usize::MAX).into_iter().flatten().collect();
    let bytes = rows.iter().map(|ListedEntry { key, value, .. }| {
        (key.as_str().len() + value.as_ref().map_or(0, |value| value.as_bytes().len())) as u64
            + u64::from(ENTRY_OVERHEAD_BYTES)
    });
    (rows.len() as u64, bytes.sum())
}

fn quotas_are_exact<E: Engine>(engine: &E, stores: &[&E::Own]) -> Checked {
    let (mut keys, mut bytes) = (0, 0);
    for store in stores {
        let usage = store.usage();
        let listed = listed_bytes(*store);
        ensure((usage.keys, usage.bytes) == listed, || {
            format!("the quota counts {usage:?}, the listing has {listed:?}")
        })?;
        keys += listed.0;
        bytes += listed.1;
    }
    let usage = engine.usage();
    ensure((usage.keys, usage.bytes) == (keys, bytes), || {
        format!("the engine counts {usage:?}, not {keys} and {bytes}")
    })
}

/// Threads read, write, compare-and-set and delete a few keys.
fn registers<E: Engine>(seed: u64) -> Checked {
    const KEYS: usize = 3;
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    let time = AtomicU64::new(0);
    let tick = || time.fetch_add(1, Ordering::SeqCst);
    let histories = race(THREADS, |thread| {
        let mut rng = rng(seed, thread);
        let mut history = Vec::new();
        let mut known = [0; KEYS];
        for step in 0..30_u64 {
            let at = rng.random_range(0..KEYS);
            let name = format!("key {at}");
            // All of the same length, so that values are overwritten in place, and different for
            // each write.
            let value = 10_000 + (thread as u64) * 1_000 + step;
            let if_revision = rng.random_bool(0.6).then_some(known[at]);
            let choice = rng.random_range(0..10);
            let invoked = tick();
            let op = match choice {
                0..4 => {
                    let found = get(&store, &name).map(|entry| {
                        known[at] = entry.revision;
                        (entry.value.as_text().unwrap().parse().unwrap(), entry.revision)
                    });
                    Op::Get { found }
                }
                4..9 => {
                    let done = put(&store, write_to(&name, value, if_revision)).ok();
                    known[at] = done.unwrap_or(known[at]);
                    Op::Put { value, if_revision, done }
                }
                _ => {
                    let mut delete_it = removal(&name);
                    delete_it.if_revision = if_revision;
                    Op::Delete { if_revision, done: delete(&store, delete_it).ok() }
                }
            };
            history.push((at, Event { invoked, returned: tick(), op }));
            if rng.random_bool(0.3) {
                thread::yield_now();
            }
        }
        history
    });
    let history: Vec<(usize, Event)> = histories.into_iter().flatten().collect();
    for at in 0..KEYS {
        let of_key: Vec<Event> =
            history.iter().filter(|(key, _)| *key == at).map(|(_, event)| *event).collect();
        linearizable(&of_key)?;
    }
    let events: Vec<Event> = history.into_iter().map(|(_, event)| event).collect();
    revisions_grow(&events, revision(&store))?;
    quotas_are_exact(&engine, &[&store])
}

fn write_to(name: &str, value: u64, if_revision: Option<u64>) -> Write {
    let mut write = write(name, &value.to_string());
    write.if_revision = if_revision;
    write
}

/// Checks that every change has its own revision, one more than the change before, and that a
/// change that began after another had ended has a higher one.
fn revisions_grow(events: &[Event], last: u64) -> Checked {
    let changes = events.iter().filter_map(|event| match event.op {
        Op::Put { done: Some(revision), .. } | Op::Delete { done: Some((true, revision)), .. } => {
            Some((event, revision))
        }
        Op::Get { .. } | Op::Put { .. } | Op::Delete { .. } => None,
    });
    let changes: Vec<_> = changes.collect();
    let revisions: BTreeSet<u64> = changes.iter().map(|(_, revision)| *revision).collect();
    let count = changes.len() as u64;
    ensure(revisions.len() as u64 == count, || {
        format!("{count} changes have {} revisions", revisions.len())
    })?;
    ensure(last == count, || format!("the store is at revision {last} after {count} changes"))?;
    for (one, low) in &changes {
        for (other, high) in &changes {
            ensure(one.returned > other.invoked || low < high, || {
                format!("revision {high} came after {low}: {one:?}, {other:?}")
            })?;
        }
    }
    Ok(())
}

/// Writers change four keys together, or fail at the last; readers read all four together.
fn batches<E: Engine>(seed: u64) -> Checked {
    const KEYS: [&str; 4] = ["a", "b", "c", "d"];
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    put(&store, write("guard", "")).unwrap();
    let steps =
        |value: &str| KEYS.iter().map(|key| Step::Put(write(key, value))).collect::<Vec<_>>();
    batch(&store, steps("ok")).unwrap();
    let seen = race(THREADS, |thread| {
        let mut rng = rng(seed, thread);
        for round in 0..25 {
            let mut steps =
                if thread % 2 == 0 { steps(&format!("ok {thread} {round}")) } else { steps("bad") };
            if thread % 2 == 0 {
                batch(&store, steps).unwrap();
            } else {
                let at = rng.random_range(1..=steps.len());
                steps.insert(at, Step::Put(write_if("guard", "", 0)));
                let error = batch(&store, steps).unwrap_err();
                ensure(error.reason() == Reason::RevisionMismatch, || format!("{error:?}"))?;
            }
            let gets = KEYS.iter().map(|of| Step::Get { key: key(of) }).collect();
            let read = batch(&store, gets).unwrap();
            let values: BTreeSet<String> = read.outcomes.iter().map(value_of).collect();
            let whole = values.len() == 1 && values.iter().all(|value| value.starts_with("ok"));
            ensure(whole, || format!("a batch was seen half: {values:?}"))?;
        }
        Ok(())
    });
    seen.into_iter().collect::<Checked>()?;
    quotas_are_exact(&engine, &[&store])
}

fn value_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Get(Some(entry)) => entry.value.as_text().unwrap().to_owned(),
        Outcome::Get(None) | Outcome::Put { .. } | Outcome::Delete { .. } => "nothing".to_owned(),
    }
}

/// Threads send the same writes with the same ids at the same time, to another user's store.
fn request_ids<E: Engine>(_seed: u64) -> Checked {
    const REQUESTS: u64 = 20;
    let (engine, _) = E::make(NO_LIMITS);
    let (caller, target) = (engine.open(), engine.open());
    let answers = race(THREADS, |thread| {
        let send = |request: u64| {
            let write = write(&format!("key {}", request % 3), &format!("{request}"));
            put_once(&target, write, once(&caller, &format!("id {request}"), 0)).unwrap().revision
        };
        // Half of the threads begin at the other end.
        let order: Vec<u64> =
            if thread % 2 == 0 { (0..REQUESTS).collect() } else { (0..REQUESTS).rev().collect() };
        order.into_iter().map(|request| (request, send(request))).collect::<BTreeMap<_, _>>()
    });
    ensure(answers.windows(2).all(|pair| pair[0] == pair[1]), || {
        format!("answers differ: {answers:?}")
    })?;
    ensure(revision(&target) == REQUESTS, || {
        format!("{} changes by {REQUESTS} requests", revision(&target))
    })?;
    ensure(revision(&caller) == 0, || "the caller's own store changed".to_owned())
}

/// A retry after other writes returns the first answer and changes nothing.
fn retries<E: Engine>(_seed: u64) -> Checked {
    let (engine, clock) = E::make(NO_LIMITS);
    let store = engine.open();
    let first = put_once(&store, write("k", "first"), once(&store, "id", 0)).unwrap();
    put(&store, write("k", "second")).unwrap();
    clock.advance(ms(299_999));
    let again = put_once(&store, write("k", "first"), once(&store, "id", 0)).unwrap();
    ensure(first == again, || format!("{first:?}, then {again:?}"))?;
    ensure(get_text(&store, "k").as_deref() == Some("second"), || {
        "the retry wrote again".to_owned()
    })
}

/// Threads page through the store while others put and delete so many keys that partitions split
/// and merge.
fn listings<E: Engine>(seed: u64) -> Checked {
    let (engine, _) = E::make(NO_LIMITS);
    let store = engine.open();
    let stays: BTreeSet<String> = (0..700).map(|number| format!("stays {number}")).collect();
    for key in &stays {
        put(&store, write(key, "")).unwrap();
    }
    let done = AtomicBool::new(false);
    let seen = race(3, |thread| {
        if thread > 0 {
            let mut rng = rng(seed, thread);
            while !done.load(Ordering::Relaxed) {
                let some = rng.random_range(500..2_000);
                let names = || (0..some).map(|number| format!("comes {thread} {number}"));
                let puts = names().map(|key| Step::Put(write(&key, "")));
                let deletes = names().map(|key| Step::Delete(removal(&key)));
                for steps in [puts.collect::<Vec<_>>(), deletes.collect()] {
                    for some in steps.chunks(100) {
                        batch(&store, some.to_vec()).unwrap();
                        thread::yield_now();
                    }
                }
            }
            return Ok(());
        }
        let listed = (0..4).map(|round| listed_once(&store, &stays, [7, 50, 300, 1_000][round]));
        let listed = listed.collect::<Checked>();
        done.store(true, Ordering::Relaxed);
        listed
    });
    seen.into_iter().collect::<Checked>()?;
    quotas_are_exact(&engine, &[&store])
}

fn listed_once<S: Tested>(store: &S, stays: &BTreeSet<String>, max_rows: usize) -> Checked {
    let mut seen = BTreeSet::new();
    let mut after = None;
    let prefix = Prefix::default();
    loop {
        let query = ListQuery {
            prefix: &prefix,
            after: after.as_ref(),
            max_rows,
            max_bytes: usize::MAX,
            parts: ListParts::Headers,
        };
        let listed = S::now(store.list(query)).unwrap();
        ensure(listed.rows.len() <= max_rows, || {
            format!("{} rows in a page of {max_rows}", listed.rows.len())
        })?;
        for ListedEntry { key, .. } in listed.rows {
            ensure(seen.insert(key.clone().into_string()), || {
                format!("{} is listed twice", key.as_str())
            })?;
        }
        after = listed.next;
        if after.is_none() {
            break;
        }
        thread::yield_now();
    }
    let missing: Vec<&String> = stays.difference(&seen).take(3).collect();
    ensure(missing.is_empty(), || format!("not listed: {missing:?}, ..."))
}

/// Writers put keys that expire soon, one thread moves the clock, and readers check that no key
/// outlives its expiry.
fn expiries<E: Engine>(seed: u64) -> Checked {
    let (engine, clock) = E::make(NO_LIMITS);
    let store = engine.open();
    let seen = race(THREADS, |thread| {
        let mut rng = rng(seed, thread);
        for round in 0..80 {
            let name = format!("key {}", rng.random_range(0..20));
            match thread {
                0 => clock.advance(ms(rng.random_range(0..3))),
                1 if round % 7 == 0 => {
                    engine.sweep();
                }
                2 => {
                    let until = clock.now().as_u64() + rng.random_range(0..6);
                    put(&store, write_until(&name, &until.to_string(), until)).unwrap();
                }
                _ => {
                    let before = clock.now();
                    let found = get(&store, &name).and_then(|entry| entry.expire_time);
                    let late = found.is_some_and(|time| time <= before);
                    ensure(!late, || format!("read {found:?} at {before}"))?;
                }
            }
            thread::yield_now();
        }
        Ok(())
    });
    seen.into_iter().collect::<Checked>()?;
    clock.advance(ms(1_000));
    let usage = store.usage();
    ensure((usage.keys, usage.bytes) == (0, 0), || {
        format!("{usage:?} is left after everything expired")
    })?;
    ensure(clock.now().as_u64() > START, || "the clock stands still".to_owned())
}

/// Two users write to their own stores at the same time.
fn two_users<E: Engine>(_seed: u64) -> Checked {
    const WRITES: u64 = 40;
    let (engine, _) = E::make(NO_LIMITS);
    let stores = [engine.open(), engine.open()];
    let seen = race(THREADS, |thread| {
        let user = thread % 2;
        let store = &stores[user];
        for round in 0..WRITES {
            let name = format!("key {}", round % 5);
            put(store, write(&name, &format!("{user} wrote {round}"))).unwrap();
            thread::yield_now();
            let read = get_text(store, &name).unwrap_or_default();
            ensure(read.starts_with(&format!("{user} wrote")), || {
                format!("user {user} reads {read:?}")
            })?;
        }
        Ok(())
    });
    seen.into_iter().collect::<Checked>()?;
    for store in &stores {
        let changes = revision(store);
        ensure(changes == 2 * WRITES, || format!("{changes} changes by {} writes", 2 * WRITES))?;
    }
    quotas_are_exact(&engine, &[&stores[0], &stores[1]])
}
