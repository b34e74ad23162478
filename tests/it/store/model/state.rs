//! The model: what two stores hold, and what they answer.

use std::collections::BTreeMap;
use std::mem::size_of;

use kvrpc::model::{Delete, Durability, Entry, Outcome, Reason, UnixMillis};
use kvrpc::store::{Batched, Deleted, ENTRY_OVERHEAD_BYTES, StoreLimits, Usage, Written};

use super::actions::{Change, Condition, KEYS};
use crate::store::{Step, Write, key, write};

/// A request with its conditions and times filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) caller: usize,
    pub(super) target: usize,
    pub(super) steps: Vec<Step>,
    pub(super) batch: bool,
    pub(super) id: Option<u8>,
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Entry(Option<Entry>),
    Written(Written),
    Deleted(Deleted),
    Batched(Batched),
    Failed(Reason),
}

#[derive(Clone, Debug, Default)]
pub(super) struct ModelStore {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) revision: u64,
    /// Answered requests: request, answer, time, bytes.
    pub(super) answered: Vec<(Request, Answer, u64, u64)>,
}

pub(super) struct Model {
    pub(super) stores: [ModelStore; 2],
    pub(super) now: u64,
    pub(super) limits: StoreLimits,
    /// Size of a record of a request id, without the id and the content of a batch's answer.
    pub(super) record_bytes: u64,
}

fn entry_bytes((key, entry): (&String, &Entry)) -> u64 {
    (key.len() + entry.value.as_bytes().len()) as u64 + u64::from(ENTRY_OVERHEAD_BYTES)
}

impl ModelStore {
    pub(super) fn usage(&self) -> Usage {
        Usage {
            keys: self.entries.len() as u64,
            bytes: self.entries.iter().map(entry_bytes).sum(),
            request_id_bytes: self.answered.iter().map(|(.., bytes)| bytes).sum(),
        }
    }

    pub(super) fn expire(&mut self, now: u64) {
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
    pub(super) fn run(&mut self, request: &Request) -> Answer {
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

    pub(super) fn fill_in(
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
