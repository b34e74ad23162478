//! A node of the engine: a connection for what is answered at once, and one for writes.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, Cmd, Pipeline, Value};
use tokio::runtime::Handle;

use super::circuit::Circuit;
use super::commits::{Commits, Pending};
use super::failure::Failure;
use super::lane::{Lane, Message, Pushes};
use super::settings::Patience;

/// A node.
pub(super) struct Node {
    /// `host:port`.
    pub(super) address: String,
    pub(super) circuit: Arc<Circuit>,
    calls: Lane,
    commits: Commits,
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
        let lane = |pushes| {
            Lane::new(client.clone(), patience, Arc::clone(&circuit), runtime.clone(), pushes)
        };
        let commits = Commits::start(&runtime, lane(None), replicas, patience.replicas);
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
    pub(super) async fn commit(
        &self,
        write: Pending,
        asking: bool,
    ) -> Result<(Value, i64), Failure> {
        if self.circuit.is_open() {
            return Err(Failure::Dead);
        }
        self.commits.send(write, asking).await
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

fn last(mut values: Vec<Value>) -> Result<Value, Failure> {
    values.pop().ok_or_else(|| Failure::Lost("the node gave no answer".to_owned()))
}
