//! Random commands of two users on the engine and on a simple model: answers, revisions and quotas
//! agree after each step.

use std::collections::BTreeMap;
use std::mem::size_of;

use proptest::prelude::*;
use proptest::sample::select;

use kvrpc::model::{
    Delete, Durability, Entry, ListedEntry, Outcome, Reason, RequestId, Result, UnixMillis,
};
use kvrpc::store::{Batched, Deleted, ENTRY_OVERHEAD_BYTES, Once, StoreLimits, Usage, Written};

use super::{
    Engine, START, Step, Tested, Write, for_each_engine, get, key, list, ms, once, put_once,
    revision, write,
};

/// A condition, to be filled in from the model's state.
#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    Absent,
    /// The key's current revision.
    Holds,
    /// The store's next revision plus this number.
    Guess(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Get {
        key: usize,
    },
    /// `ttl` may be negative.
    Put {
        key: usize,
        size: usize,
        ttl: Option<i64>,
        condition: Condition,
    },
    Delete {
        key: usize,
        condition: Condition,
    },
}

#[derive(Clone, Debug)]
enum Action {
    /// One change, or a batch of them, of the caller on the target's store.
    Run {
        caller: usize,
        target: usize,
        changes: Vec<Change>,
        batch: bool,
        id: Option<u8>,
    },
    /// An earlier request again, counted from the last.
    Retry {
        back: usize,
    },
    List {
        target: usize,
        prefix: &'static str,
        max_rows: usize,
        max_bytes: usize,
    },
    Advance {
        millis: u64,
    },
    Sweep,
}

const KEYS: [&str; 6] = ["a", "ab", "abc", "b", "bä", "c"];
const LIMITS: StoreLimits =
    StoreLimits { max_keys_per_user: 4, max_bytes_per_user: 330, max_bytes_total: 2_000 };

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        5 => Just(Condition::None),
        1 => Just(Condition::Absent),
        2 => Just(Condition::Holds),
        1 => (0..3_u64).prop_map(Condition::Guess),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let any_key = || 0..KEYS.len();
    let ttl = prop_oneof![3 => Just(None), 2 => (-1..20_i64).prop_map(Some)];
    prop_oneof![
        2 => any_key().prop_map(|key| Change::Get { key }),
        5 => (any_key(), select(vec![0, 1, 5, 5, 5, 60, 200]), ttl, condition())
            .prop_map(|(key, size, ttl, condition)| Change::Put { key, size, ttl, condition }),
        2 => (any_key(), condition())
            .prop_map(|(key, condition)| Change::Delete { key, condition }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let id = || prop_oneof![2 => Just(None), 1 => (0..4_u8).prop_map(Some)];
    prop_oneof![
        6 => (0..2_usize, 0..2_usize, change(), id())
            .prop_map(|(caller, target, change, id)| {
                Action::Run { caller, target, changes: vec![change], batch: false, id }
            }),
        4 => (0..2_usize, 0..2_usize, prop::collection::vec(change(), 1..8), id())
            .prop_map(|(caller, target, changes, id)| {
                Action::Run { caller, target, changes, batch: true, id }
            }),
        2 => (1..4_usize).prop_map(|back| Action::Retry { back }),
        2 => (0..2_usize, select(vec!["", "a", "b", "x"]), 0..4_usize, select(vec![0, 10, 1_000]))
            .prop_map(|(target, prefix, max_rows, max_bytes)| {
                Action::List { target, prefix, max_rows, max_bytes }
            }),
        2 => prop_oneof![8 => 1..12_u64, 1 => 290_000..300_001_u64]
            .prop_map(|millis| Action::Advance { millis }),
        1 => Just(Action::Sweep),
    ]
}

/// A request with its conditions and times filled in.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    caller: usize,
    target: usize,
    steps: Vec<Step>,
    batch: bool,
    id: Option<u8>,
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Entry(Option<Entry>),
    Written(Written),
    Deleted(Deleted),
    Batched(Batched),
    Failed(Reason),
}

#[derive(Clone, Debug, Default)]
struct ModelStore {
    entries: BTreeMap<String, Entry>,
    revision: u64,
    /// Answered requests: request, answer, time, bytes.
    answered: Vec<(Request, Answer, u64, u64)>,
}

struct Model {
    stores: [ModelStore; 2],
    now: u64,
    limits: StoreLimits,
    /// Size of a record of a request id, without the id and the content of a batch's answer.
    record_bytes: u64,
}

fn entry_bytes((key, entry): (&String, &Entry)) -> u64 {
    (key.len() + entry.value.as_bytes().len()) as u64 + u64::from(ENTRY_OVERHEAD_BYTES)
}

impl ModelStore {
    fn usage(&self) -> Usage {
        Usage {
            keys: self.entries.len() as u64,
            bytes: self.entries.iter().map(entry_bytes).sum(),
            request_id_bytes: self.answered.iter().map(|(.., bytes)| bytes).sum(),
        }
    }

    fn expire(&mut self, now: u64) {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.expire_time.is_none_or(|time| time.as_u64() > now));
        self.revision += (before - self.entries.len()) as u64;
        self.answered.retain(|(_, _, time, _)| time + 300_000 > now);
    }

    fn check(
        &self,
        key: &str,
        if_revision: Option<u64>,
        batch_began_at: u64,
    ) -> std::result::Result<(), Reason> {
        let revision = self.entries.get(key).map_or(0, |entry| entry.revision);
        let holds =
            if_revision.is_none_or(|wanted| wanted == revision && revision <= batch_began_at);
        if holds { Ok(()) } else { Err(Reason::RevisionMismatch) }
    }
}

impl Model {
    fn used(&self) -> u64 {
        self.stores.iter().map(|store| store.usage().bytes + store.usage().request_id_bytes).sum()
    }

    /// Runs the request on a copy of the stores, and keeps the copy if the whole request succeeds.
    fn run(&mut self, request: &Request) -> Answer {
        let before = self.stores.clone();
        if let Some((first, answer, ..)) = self.stores[request.caller]
            .answered
            .iter()
            .find(|(first, ..)| request.id.is_some() && first.id == request.id)
        {
            return if first == request {
                answer.clone()
            } else {
                Answer::Failed(Reason::RequestIdReused)
            };
        }
        match self.attempt(request) {
            Ok(answer) => answer,
            Err(reason) => {
                self.stores = before;
                Answer::Failed(reason)
            }
        }
    }

    fn attempt(&mut self, request: &Request) -> std::result::Result<Answer, Reason> {
        let began_at = if request.batch { self.stores[request.target].revision } else { u64::MAX };
        let elsewhere = self.used() - self.stores[request.target].usage().bytes;
        // Bytes that a batch frees are reserved for it until it is done.
        let mut most = self.stores[request.target].usage().bytes;
        let mut outcomes = Vec::new();
        for step in &request.steps {
            let store = &mut self.stores[request.target];
            outcomes.push(match step {
                Step::Get { key } => Outcome::Get(store.entries.get(key.as_str()).cloned()),
                Step::Delete(Delete { key, if_revision, .. }) => {
                    store.check(key.as_str(), *if_revision, began_at)?;
                    let deleted = store.entries.remove(key.as_str()).is_some();
                    store.revision += u64::from(deleted);
                    Outcome::Delete { deleted }
                }
                Step::Put(write) => {
                    store.check(write.key.as_str(), write.if_revision, began_at)?;
                    store.revision += 1;
                    store.entries.remove(write.key.as_str());
                    if write.expire_time.is_none_or(|time| time.as_u64() > self.now) {
                        let (value, expire_time) = (write.value.clone(), write.expire_time);
                        let entry = Entry { value, revision: store.revision, expire_time };
                        store.entries.insert(write.key.as_str().to_owned(), entry);
                        let Usage { keys, bytes, .. } = store.usage();
                        if keys > self.limits.max_keys_per_user
                            || bytes > self.limits.max_bytes_per_user
                        {
                            return Err(Reason::QuotaExceeded);
                        }
                        most = most.max(bytes);
                        if elsewhere + most > self.limits.max_bytes_total {
                            return Err(Reason::ServerFull);
                        }
                    }
                    Outcome::Put { revision: store.revision }
                }
            });
        }
        let answer = self.answer(request, outcomes);
        if let Some(id) = request.id {
            let mut bytes = self.record_bytes + id.to_string().len() as u64;
            if let Answer::Batched(batched) = &answer {
                bytes +=
                    (size_of::<Batched>() + batched.outcomes.len() * size_of::<Outcome>()) as u64;
                bytes += batched.outcomes.iter().map(read_bytes).sum::<u64>();
            }
            if elsewhere + most + bytes > self.limits.max_bytes_total {
                return Err(Reason::ServerFull);
            }
            self.stores[request.caller].answered.push((
                request.clone(),
                answer.clone(),
                self.now,
                bytes,
            ));
        }
        Ok(answer)
    }

    fn answer(&self, request: &Request, outcomes: Vec<Outcome>) -> Answer {
        let revision = self.stores[request.target].revision;
        let durability = Durability::Local;
        match (request.batch, outcomes.as_slice()) {
            (false, [Outcome::Get(found)]) => Answer::Entry(found.clone()),
            (false, [Outcome::Put { revision }]) => {
                Answer::Written(Written { revision: *revision, durability })
            }
            (false, [Outcome::Delete { deleted }]) => {
                Answer::Deleted(Deleted { deleted: *deleted, revision, durability })
            }
            _ => Answer::Batched(Batched { outcomes, revision, durability }),
        }
    }

    fn fill_in(
        &self,
        caller: usize,
        target: usize,
        changes: &[Change],
        batch: bool,
        id: Option<u8>,
    ) -> Request {
        let store = &self.stores[target];
        let if_revision = |at: usize, condition| match condition {
            Condition::None => None,
            Condition::Absent => Some(0),
            Condition::Holds => Some(store.entries.get(KEYS[at]).map_or(0, |entry| entry.revision)),
            Condition::Guess(ahead) => Some(store.revision + ahead),
        };
        let step = |change: &Change| match *change {
            Change::Get { key: at } => Step::Get { key: key(KEYS[at]) },
            Change::Put { key: at, size, ttl, condition } => Step::Put(Write {
                expire_time: ttl.map(|ttl| UnixMillis::new(self.now.saturating_add_signed(ttl))),
                if_revision: if_revision(at, condition),
                ..write(KEYS[at], &"v".repeat(size))
            }),
            Change::Delete { key: at, condition } => Step::Delete(Delete {
                key: key(KEYS[at]),
                if_revision: if_revision(at, condition),
                request_id: None,
            }),
        };
        let steps: Vec<Step> = changes.iter().map(step).collect();
        // A single get takes no id.
        let id = if batch || !matches!(steps.as_slice(), [Step::Get { .. }]) { id } else { None };
        Request { caller, target, steps, batch, id }
    }
}

fn read_bytes(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Get(Some(entry)) => entry.value.as_bytes().len() as u64,
        Outcome::Get(None) | Outcome::Put { .. } | Outcome::Delete { .. } => 0,
    }
}

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
