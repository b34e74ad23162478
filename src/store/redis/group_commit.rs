//! Writes on their way to a node. Those that come while others are on theirs wait, and go out
//! together: with one wait for the replicas, and the puts of one store as one command.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value, cmd};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use super::lane::{Lane, Message};
use super::library::call;
use super::reply;
use super::store::Inner;
use crate::model::{OperationRef, Operations, PutRef, whole_millis};

/// How many writes go out together.
const TOGETHER: usize = 128;
/// How many bytes of them; one write may have more.
const TOGETHER_BYTES: usize = 4 << 20;
/// How many writes may wait for their turn.
const QUEUED: usize = 4_096;

/// A write that is to be sent.
#[derive(Clone)]
pub(super) enum Pending {
    Command(Cmd),
    /// A put without an expiry or a request id: the only one of its operations.
    Put {
        store: Arc<Inner>,
        put: Arc<Operations>,
    },
}

type Done = oneshot::Sender<Result<(Value, i64), Failure>>;

struct Commit {
    write: Pending,
    asking: bool,
    done: Done,
}

/// The writes to a node.
pub(super) struct Commits(mpsc::Sender<Commit>);

impl Commits {
    /// Begins to send what comes, each time with a wait for so many replicas, if any, for so long.
    pub(super) fn start(runtime: &Handle, lane: Lane, replicas: u32, wait: Duration) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED);
        runtime.spawn(run(queued, lane, replicas, wait));
        Self(queue)
    }

    /// The answer to a write, and how many replicas have it.
    pub(super) async fn send(&self, write: Pending, asking: bool) -> Result<(Value, i64), Failure> {
        let (done, answer) = oneshot::channel();
        let full = |_| Failure::NotSent(format!("{QUEUED} writes wait for the node"));
        self.0.try_send(Commit { write, asking, done }).map_err(full)?;
        answer.await.unwrap_or_else(|_| Err(Failure::Lost("the engine was shut down".to_owned())))
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        let length = |argument: redis::Arg<&[u8]>| match argument {
            redis::Arg::Simple(bytes) => bytes.len(),
            _ => 0,
        };
        match self {
            Self::Command(command) => command.args_iter().map(length).sum(),
            Self::Put { put, .. } => put.bytes(),
        }
    }
}

/// Content of a unit.
enum Work {
    Command(Cmd),
    /// Puts of one store.
    Puts(Arc<Inner>, Vec<Arc<Operations>>),
}

/// One command of those that go out together, and who waits for its answer.
struct Unit {
    asking: bool,
    work: Work,
    done: Vec<Done>,
}

async fn run(mut queued: mpsc::Receiver<Commit>, lane: Lane, replicas: u32, wait: Duration) {
    let mut waiting: Vec<Commit> = Vec::new();
    loop {
        let room = TOGETHER.saturating_sub(waiting.len());
        if waiting.is_empty() && queued.recv_many(&mut waiting, room).await == 0 {
            return;
        }
        let mut bytes = 0_usize;
        let fits = waiting.iter().position(|commit| {
            bytes = bytes.saturating_add(commit.write.bytes());
            bytes > TOGETHER_BYTES
        });
        let rest = waiting.split_off(fits.unwrap_or(waiting.len()).max(1));
        let mut units = together(std::mem::replace(&mut waiting, rest));
        let mut pipeline = Pipeline::with_capacity(units.len() + 1);
        for unit in &mut units {
            if unit.asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(match &mut unit.work {
                Work::Command(command) => std::mem::take(command),
                Work::Puts(store, puts) => of_puts(store, puts),
            });
        }
        let longer = if replicas > 0 {
            pipeline.add_command(cmd("WAIT").arg(replicas).arg(whole_millis(wait)).clone());
            wait
        } else {
            Duration::ZERO
        };
        let sent = lane.send(Message::Many(&pipeline), longer).await;
        deliver(units, sent, replicas > 0);
    }
}

/// Makes one command of the puts of each store.
fn together(commits: Vec<Commit>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(commits.len());
    let mut of_store = HashMap::new();
    for Commit { write, asking, done } in commits {
        let work = match write {
            Pending::Command(command) => Work::Command(command),
            Pending::Put { store, put } if asking => Work::Puts(store, vec![put]),
            Pending::Put { store, put } => {
                let at = *of_store.entry(store.id).or_insert(units.len());
                if let Some(Unit { work: Work::Puts(_, puts), done: all, .. }) = units.get_mut(at) {
                    puts.push(put);
                    all.push(done);
                    continue;
                }
                Work::Puts(store, vec![put])
            }
        };
        units.push(Unit { asking, work, done: vec![done] });
    }
    units
}

fn of_puts(store: &Inner, puts: &[Arc<Operations>]) -> Cmd {
    let (keys, limits) = (store.plain_keys(), &store.shared.limits);
    let add = |command: &mut Cmd, put: &PutRef<'_>| {
        command.arg(put.key).arg(put.value).arg(&[reply::flags(put.text)]);
    };
    let mut all = puts.iter().flat_map(|put| put.iter()).filter_map(|operation| match operation {
        OperationRef::Put(put) => Some(put),
        OperationRef::Get { .. } | OperationRef::Delete { .. } => None,
    });
    if let [_] = puts
        && let Some(put) = all.next()
    {
        let mut command = call("put", &keys);
        add(&mut command, &put);
        command.arg(limits.max_bytes_per_user).arg(limits.max_keys_per_user);
        if let Some(revision) = put.if_revision {
            command.arg(revision);
        }
        return command;
    }
    let mut command = call("puts", &keys);
    command.arg(limits.max_bytes_per_user).arg(limits.max_keys_per_user);
    for put in all {
        add(&mut command, &put);
        match put.if_revision {
            Some(revision) => command.arg(revision),
            None => command.arg(""),
        };
    }
    command
}

fn deliver(units: Vec<Unit>, sent: Result<Vec<Value>, Failure>, waited: bool) {
    // Who has gone in the meantime needs no answer.
    let tell = |done: Done, answer| drop(done.send(answer));
    let mut values = match sent {
        Ok(values) => values,
        Err(failure) => {
            units
                .into_iter()
                .flat_map(|unit| unit.done)
                .for_each(|done| tell(done, Err(failure.clone())));
            return;
        }
    };
    let acknowledged = match waited.then(|| values.pop()).flatten() {
        Some(Value::Int(acknowledged)) => acknowledged,
        Some(_) | None => 0,
    };
    let mut values = values.into_iter();
    for unit in units {
        if unit.asking {
            values.next();
        }
        let several = unit.done.len() > 1;
        match values.next() {
            Some(Value::Array(answers)) if several && answers.len() == unit.done.len() => {
                unit.done
                    .into_iter()
                    .zip(answers)
                    .for_each(|(done, answer)| tell(done, Ok((answer, acknowledged))));
            }
            Some(Value::Array(_)) if several => {
                let wrong = Failure::Lost("the node gave too few answers".to_owned());
                unit.done.into_iter().for_each(|done| tell(done, Err(wrong.clone())));
            }
            Some(answer) => {
                unit.done
                    .into_iter()
                    .for_each(|done| tell(done, Ok((answer.clone(), acknowledged))));
            }
            None => {
                let wrong = Failure::Lost("the node gave too few answers".to_owned());
                unit.done.into_iter().for_each(|done| tell(done, Err(wrong.clone())));
            }
        }
    }
}
