//! A node of the engine: a connection for what is answered at once, and one for group commits.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, Cmd, Pipeline, Value};
use tokio::runtime::Handle;

use super::circuit::Circuit;
use super::connection::{NodeConnection, OutgoingCommands, PushHandler};
use super::failure::NodeFailure;
use super::group_commit::{GroupCommit, PendingWrite};
use super::settings::Patience;

/// Node of the engine.
pub(super) struct RedisNode {
    /// `host:port`.
    pub(super) address: String,
    pub(super) circuit: Arc<Circuit>,
    calls: NodeConnection,
    commits: GroupCommit,
}

/// Options of every node.
#[derive(Clone)]
pub(super) struct NodeOptions {
    pub(super) patience: Patience,
    pub(super) runtime: Handle,
    /// Number of replicas that a write waits for.
    pub(super) replicas: u32,
    pub(super) pushes: PushHandler,
}

impl RedisNode {
    pub(super) fn new(address: String, client: Client, options: &NodeOptions) -> Arc<Self> {
        let NodeOptions { patience, runtime, replicas, pushes } = options.clone();
        let circuit = Arc::new(Circuit::new());
        let connection = |pushes| {
            NodeConnection::new(
                client.clone(),
                patience,
                Arc::clone(&circuit),
                runtime.clone(),
                pushes,
            )
        };
        let commits = GroupCommit::start(&runtime, connection(None), replicas, patience.replicas);
        Arc::new(Self { address, calls: connection(Some(pushes)), circuit, commits })
    }

    /// Sends a command, after `ASKING` if that is set, and returns the answer.
    pub(super) async fn ask(&self, command: &Cmd, asking: bool) -> Result<Value, NodeFailure> {
        if asking {
            let mut both = Pipeline::with_capacity(2);
            both.cmd("ASKING").add_command(command.clone());
            return self.many(&both).await.and_then(last);
        }
        self.calls.send(OutgoingCommands::One(command), Duration::ZERO).await.and_then(last)
    }

    /// Sends several commands together.
    pub(super) async fn many(&self, commands: &Pipeline) -> Result<Vec<Value>, NodeFailure> {
        self.calls.send(OutgoingCommands::Many(commands), Duration::ZERO).await
    }

    /// Sends a write with the next group. Returns its answer, and the number of replicas that have
    /// it.
    pub(super) async fn commit(
        &self,
        write: PendingWrite,
        asking: bool,
    ) -> Result<(Value, i64), NodeFailure> {
        if self.circuit.is_open() {
            return Err(NodeFailure::Dead);
        }
        self.commits.send(write, asking).await
    }

    /// Returns true if the node answers a `PING`.
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

fn last(mut values: Vec<Value>) -> Result<Value, NodeFailure> {
    values.pop().ok_or_else(|| NodeFailure::Lost("the node gave no answer".to_owned()))
}
