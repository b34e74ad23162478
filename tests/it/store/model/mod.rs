//! Random commands of two users on the engine and on a simple model: answers, revisions and quotas
//! agree after each step.

mod actions;
mod state;

use proptest::prelude::*;

use kvrpc::model::{ListedEntry, RequestId, Result};
use kvrpc::store::{Once, StoreLimits, Usage};

use self::actions::{Action, KEYS, action};
use self::state::{Answer, Model, ModelStore, Request};
use super::{
    Engine, START, Step, Tested, for_each_engine, get, key, list, ms, once, put_once, revision,
    write,
};

const LIMITS: StoreLimits =
    StoreLimits { max_keys_per_user: 4, max_bytes_per_user: 330, max_bytes_total: 2_000 };

/// Sends the request to the engine; different requests have different fingerprints.
fn send<S: Tested>(stores: &[S; 2], request: &Request, sent: &[Request]) -> Answer {
    let number = sent.iter().position(|sent| sent == request).unwrap_or(sent.len()) as u64;
    let mut fingerprint = [0; 16];
    fingerprint[..8].copy_from_slice(&number.to_le_bytes());
    let caller = &stores[request.caller];
    let once = request.id.map(|id| {
        let id = RequestId::new(id.to_string()).unwrap().unwrap();
        Once { caller, id, fingerprint }
    });
    let store = &stores[request.target];
    fn answer<T>(result: Result<T>, kind: impl Fn(T) -> Answer) -> Answer {
        result.map_or_else(|error| Answer::Failed(error.reason()), kind)
    }
    match (request.batch, request.steps.as_slice()) {
        (false, [Step::Get { key }]) => answer(S::now(store.get(key)), Answer::Entry),
        (false, [Step::Put(write)]) => {
            answer(S::now(store.put(write.to_ref(), once)), Answer::Written)
        }
        (false, [Step::Delete(delete)]) => {
            answer(S::now(store.delete(delete.clone(), once)), Answer::Deleted)
        }
        _ => answer(
            S::now(store.batch(request.steps.iter().cloned().collect(), once)),
            Answer::Batched,
        ),
    }
}

/// Returns the size of a record of a request id.
fn record_bytes<E: Engine>() -> u64 {
    let (engine, _) = E::make(super::NO_LIMITS);
    let store = engine.open();
    put_once(&store, write("k", ""), once(&store, "1", 0)).unwrap();
    store.usage().request_id_bytes - 1
}

fn check_listing(
    store: &impl Tested,
    model: &ModelStore,
    prefix: &str,
    max_rows: usize,
    max_bytes: usize,
) {
    let mut rows: Vec<ListedEntry> = list(store, prefix, max_rows, max_bytes).concat();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let wanted = model.entries.iter().filter(|(key, _)| key.starts_with(prefix));
    let wanted: Vec<ListedEntry> = wanted
        .map(|(of, entry)| ListedEntry {
            key: key(of),
            value: Some(entry.value.clone()),
            revision: entry.revision,
            expire_time: entry.expire_time,
        })
        .collect();
    assert_eq!(rows, wanted);
}

fn run<E: Engine>(actions: Vec<Action>) {
    let limits =
        if E::COUNTS_ALL { LIMITS } else { StoreLimits { max_bytes_total: u64::MAX, ..LIMITS } };
    let (engine, clock) = E::make(limits);
    let stores = [engine.open(), engine.open()];
    let mut model =
        Model { stores: Default::default(), now: START, limits, record_bytes: record_bytes::<E>() };
    let mut sent: Vec<Request> = Vec::new();
    for action in actions {
        match action {
            Action::Advance { millis } => {
                clock.advance(ms(millis));
                model.now += millis;
                // A store removes expired keys when it is swept or used; here each is used at once.
                for (store, model_store) in stores.iter().zip(&mut model.stores) {
                    model_store.expire(model.now);
                    assert_eq!(revision(store), model_store.revision);
                }
                engine.sweep();
            }
            Action::Sweep => assert!(!engine.sweep()),
            Action::List { target, prefix, max_rows, max_bytes } => {
                check_listing(&stores[target], &model.stores[target], prefix, max_rows, max_bytes);
            }
            Action::Run { caller, target, changes, batch, id } => {
                let request = model.fill_in(caller, target, &changes, batch, id);
                assert_eq!(send(&stores, &request, &sent), model.run(&request), "{request:?}");
                sent.push(request);
            }
            Action::Retry { back } => {
                let Some(request) = sent.len().checked_sub(back).map(|at| sent[at].clone()) else {
                    continue;
                };
                assert_eq!(
                    send(&stores, &request, &sent),
                    model.run(&request),
                    "again: {request:?}"
                );
            }
        }
        let mut all = Usage::default();
        for (store, model) in stores.iter().zip(&model.stores) {
            let usage = model.usage();
            assert_eq!((store.usage(), revision(store)), (usage, model.revision));
            all.keys += usage.keys;
            all.bytes += usage.bytes;
            all.request_id_bytes += usage.request_id_bytes;
        }
        assert_eq!(engine.usage(), all);
    }
    for (store, model) in stores.iter().zip(&model.stores) {
        check_listing(store, model, "", 2, 1_000);
        for key in KEYS {
            assert_eq!(get(store, key).as_ref(), model.entries.get(key), "{key}");
        }
    }
    engine.close(stores);
    assert_eq!(engine.usage(), Usage::default());
}

fn the_engine_does_what_the_model_does<E: Engine>() {
    let config =
        ProptestConfig { cases: E::CASES, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(actions in prop::collection::vec(action(), 1..120))| run::<E>(actions));
}

for_each_engine! {
    the_engine_does_what_the_model_does
}
