//! A node of the engine: a connection for what is answered at once, and one for writes that wait for the replicas.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, Cmd, Pipeline, Value, cmd};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::circuit::Circuit;
use super::failure::Failure;
use super::lane::{Lane, Message, Pushes};
use super::settings::Patience;

/// How many writes wait for one acknowledgement of the replicas.
const COMMITTED_TOGETHER: usize = 128;
/// How many bytes of them; one write may have more.
const COMMITTED_BYTES: usize = 4 << 20;
/// How many writes may wait for their turn.
const QUEUED: usize = 4_096;

/// A node.
pub(super) struct Node {
    /// `host:port`.
    pub(super) address: String,
    pub(super) circuit: Arc<Circuit>,
    calls: Lane,
    commits: Option<mpsc::Sender<Commit>>,
}

/// A write that waits for the replicas.
struct Commit {
    command: Cmd,
    asking: bool,
    done: oneshot::Sender<Result<(Value, i64), Failure>>,
}

/// What every node is made with.
#[derive(Clone)]
pub(super) struct Making {
    pub(super) patience: Patience,
    pub(super) runtime: Handle,
    /// How many replicas a write waits for.
    pub(super) replicas: u32,
    pub(super) pushes: Pushes,
}

impl Node {
    pub(super) fn new(address: String, client: Client, making: &Making) -> Arc<Self> {
        let Making { patience, runtime, replicas, pushes } = making.clone();
        let circuit = Arc::new(Circuit::new());
        let lane = |pushes| Lane::new(client.clone(), patience, Arc::clone(&circuit), runtime.clone(), pushes);
        let commits = (replicas > 0).then(|| {
            let (queue, queued) = mpsc::channel(QUEUED);
            runtime.spawn(commit(queued, lane(None), replicas, patience.replicas));
            queue
        });
        Arc::new(Self { address, calls: lane(Some(pushes)), circuit, commits })
    }

    /// Asks the node.
    pub(super) async fn ask(&self, command: &Cmd, asking: bool) -> Result<Value, Failure> {
        if asking {
            let mut both = Pipeline::with_capacity(2);
            both.cmd("ASKING").add_command(command.clone());
            return self.many(&both).await.and_then(last);
        }
        self.calls.send(Message::One(command), Duration::ZERO).await.and_then(last)
    }

    /// Sends several commands at once.
    pub(super) async fn many(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        self.calls.send(Message::Many(commands), Duration::ZERO).await
    }

    /// Writes, and tells how many replicas have it.
    pub(super) async fn commit(&self, command: &Cmd, asking: bool) -> Result<(Value, i64), Failure> {
        let Some(commits) = &self.commits else { return Ok((self.ask(command, asking).await?, 0)) };
        if self.circuit.is_open() {
            return Err(Failure::Dead);
        }
        let (done, answer) = oneshot::channel();
        let full = |_| Failure::NotSent(format!("{QUEUED} writes wait for the node"));
        commits.try_send(Commit { command: command.clone(), asking, done }).map_err(full)?;
        answer.await.unwrap_or_else(|_| Err(Failure::Lost("the engine was shut down".to_owned())))
    }

    /// Asks whether it is there.
    pub(super) async fn probe(&self) -> bool {
        match self.calls.probe().await {
            Ok(()) => true,
            Err(_) => {
                self.circuit.failed();
                false
            }
        }
    }
}

/// Sends the writes that came while the ones before waited for the replicas, all with one wait.
async fn commit(mut queued: mpsc::Receiver<Commit>, lane: Lane, replicas: u32, wait: Duration) {
    let mut waiting: Vec<Commit> = Vec::new();
    loop {
        let room = COMMITTED_TOGETHER.saturating_sub(waiting.len());
        if waiting.is_empty() && queued.recv_many(&mut waiting, room).await == 0 {
            return;
        }
        let mut bytes = 0_usize;
        let fits = waiting.iter().position(|commit| {
            bytes = bytes.saturating_add(commit.command.args_iter().map(argument_len).sum());
            bytes > COMMITTED_BYTES
        });
        let rest = waiting.split_off(fits.unwrap_or(waiting.len()).max(1));
        let now = std::mem::replace(&mut waiting, rest);
        let mut pipeline = Pipeline::with_capacity(now.len() + 1);
        for commit in &now {
            if commit.asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(commit.command.clone());
        }
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        pipeline.add_command(cmd("WAIT").arg(replicas).arg(millis).clone());
        let sent = lane.send(Message::Many(&pipeline), wait).await;
        deliver(now, sent);
    }
}

fn argument_len(argument: redis::Arg<&[u8]>) -> usize {
    match argument {
        redis::Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    }
}

fn deliver(commits: Vec<Commit>, sent: Result<Vec<Value>, Failure>) {
    let mut values = match sent {
        Ok(values) => values,
        Err(failure) => {
            // Who has gone in the meantime needs no answer.
            commits.into_iter().for_each(|commit| drop(commit.done.send(Err(failure.clone()))));
            return;
        }
    };
    let acknowledged = match values.pop() {
        Some(Value::Int(acknowledged)) => acknowledged,
        Some(_) | None => 0,
    };
    let mut values = values.into_iter();
    for commit in commits {
        if commit.asking {
            values.next();
        }
        let answer = values.next().ok_or_else(|| Failure::Lost("the node gave too few answers".to_owned()));
        drop(commit.done.send(answer.map(|value| (value, acknowledged))));
    }
}

fn last(mut values: Vec<Value>) -> Result<Value, Failure> {
    values.pop().ok_or_else(|| Failure::Lost("the node gave no answer".to_owned()))
}
