//! Group commit: the writes that arrive while others are on their way to a node are sent together,
//! with one `WAIT` for the replicas, and the puts of one store as one command.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value, cmd};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::connection::{NodeConnection, OutgoingCommands};
use super::failure::NodeFailure;
use super::library::call;
use super::reply;
use super::store::RedisStoreInner;
use crate::model::{OperationRef, Operations, PutRef, whole_millis};

/// Maximum number of writes in a group.
const GROUP_WRITES: usize = 128;
/// Maximum bytes of a group; a single write may have more.
const GROUP_BYTES: usize = 4 << 20;
/// Maximum number of writes that wait for the next group.
const QUEUED: usize = 4_096;

/// Write that is to be sent.
#[derive(Clone)]
pub(super) enum PendingWrite {
    Command(Cmd),
    /// A put without an expiry or a request id: the only one of its operations.
    Put {
        store: Arc<RedisStoreInner>,
        put: Arc<Operations>,
    },
}

type ReplySender = oneshot::Sender<Result<(Value, i64), NodeFailure>>;

struct QueuedWrite {
    write: PendingWrite,
    asking: bool,
    done: ReplySender,
}

/// Group commit of one node.
pub(super) struct GroupCommit(mpsc::Sender<QueuedWrite>);

impl GroupCommit {
    /// Starts the task that sends groups. If `replicas` is not 0, each group ends with a `WAIT` for
    /// that many replicas, for the time `wait`.
    pub(super) fn start(
        runtime: &Handle,
        connection: NodeConnection,
        replicas: u32,
        wait: Duration,
    ) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED);
        runtime.spawn(run(queued, connection, replicas, wait));
        Self(queue)
    }

    /// Sends a write with the next group. Returns its answer, and the number of replicas that have
    /// it.
    ///
    /// # Errors
    /// As [`NodeConnection::send`].
    pub(super) async fn send(
        &self,
        write: PendingWrite,
        asking: bool,
    ) -> Result<(Value, i64), NodeFailure> {
        let (done, answer) = oneshot::channel();
        let full = |_| NodeFailure::NotSent(format!("{QUEUED} writes wait for the node"));
        self.0.try_send(QueuedWrite { write, asking, done }).map_err(full)?;
        answer
            .await
            .unwrap_or_else(|_| Err(NodeFailure::Lost("the engine was shut down".to_owned())))
    }
}

impl PendingWrite {
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

/// Writes of one command.
enum GroupedWrites {
    Command(Cmd),
    /// Puts of one store.
    Puts(Arc<RedisStoreInner>, Vec<Arc<Operations>>),
}

/// One command of a group, and the receivers of its answers.
struct GroupedCommand {
    asking: bool,
    work: GroupedWrites,
    done: Vec<ReplySender>,
}

async fn run(
    mut queued: mpsc::Receiver<QueuedWrite>,
    connection: NodeConnection,
    replicas: u32,
    wait: Duration,
) {
    let mut waiting: Vec<QueuedWrite> = Vec::new();
    loop {
        let room = GROUP_WRITES.saturating_sub(waiting.len());
        if waiting.is_empty() && queued.recv_many(&mut waiting, room).await == 0 {
            return;
        }
        let mut bytes = 0_usize;
        let fits = waiting.iter().position(|commit| {
            bytes = bytes.saturating_add(commit.write.bytes());
            bytes > GROUP_BYTES
        });
        let rest = waiting.split_off(fits.unwrap_or(waiting.len()).max(1));
        let mut units = group(std::mem::replace(&mut waiting, rest));
        let mut pipeline = Pipeline::with_capacity(units.len() + 1);
        for unit in &mut units {
            if unit.asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(match &mut unit.work {
                GroupedWrites::Command(command) => std::mem::take(command),
                GroupedWrites::Puts(store, puts) => puts_command(store, puts),
            });
        }
        let longer = if replicas > 0 {
            pipeline.add_command(cmd("WAIT").arg(replicas).arg(whole_millis(wait)).clone());
            wait
        } else {
            Duration::ZERO
        };
        let sent = connection.send(OutgoingCommands::Many(&pipeline), longer).await;
        deliver(units, sent, replicas > 0);
    }
}

/// Groups the puts of each store into one command.
fn group(commits: Vec<QueuedWrite>) -> Vec<GroupedCommand> {
    let mut units: Vec<GroupedCommand> = Vec::with_capacity(commits.len());
    let mut of_store = HashMap::new();
    for QueuedWrite { write, asking, done } in commits {
        let work = match write {
            PendingWrite::Command(command) => GroupedWrites::Command(command),
            PendingWrite::Put { store, put } if asking => GroupedWrites::Puts(store, vec![put]),
            PendingWrite::Put { store, put } => {
                let at = *of_store.entry(store.id).or_insert(units.len());
                if let Some(GroupedCommand {
                    work: GroupedWrites::Puts(_, puts), done: all, ..
                }) = units.get_mut(at)
                {
                    puts.push(put);
                    all.push(done);
                    continue;
                }
                GroupedWrites::Puts(store, vec![put])
            }
        };
        units.push(GroupedCommand { asking, work, done: vec![done] });
    }
    units
}

fn puts_command(store: &RedisStoreInner, puts: &[Arc<Operations>]) -> Cmd {
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

fn deliver(units: Vec<GroupedCommand>, sent: Result<Vec<Value>, NodeFailure>, waited: bool) {
    // A receiver that is gone needs no answer.
    let tell = |done: ReplySender, answer| drop(done.send(answer));
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
                let wrong = NodeFailure::Lost("the node gave too few answers".to_owned());
                unit.done.into_iter().for_each(|done| tell(done, Err(wrong.clone())));
            }
            Some(answer) => {
                unit.done
                    .into_iter()
                    .for_each(|done| tell(done, Ok((answer.clone(), acknowledged))));
            }
            None => {
                let wrong = NodeFailure::Lost("the node gave too few answers".to_owned());
                unit.done.into_iter().for_each(|done| tell(done, Err(wrong.clone())));
            }
        }
    }
}
