//! A connection to a node that many calls share, and that reconnects by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisResult, Value};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::circuit::Circuit;
use super::failure::NodeFailure;
use super::settings::Patience;

/// Maximum number of calls that wait for one connection's answers.
const IN_FLIGHT: usize = 8_192;
/// Maximum number of them that wait to be written.
const UNSENT: usize = 1_024;

/// Receiver of the connection's pushes, such as invalidations.
pub(super) type PushHandler = Arc<dyn Fn(&PushInfo) + Send + Sync>;

/// Commands that are sent together.
pub(super) enum OutgoingCommands<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

/// A multiplexed connection: commands that are sent at the same time share a packet.
pub(super) struct NodeConnection {
    client: Client,
    patience: Patience,
    circuit: Arc<Circuit>,
    /// Runtime of the connection's own task.
    runtime: Handle,
    live: Mutex<Option<LiveConnection>>,
    connecting: tokio::sync::Mutex<()>,
    in_flight: Semaphore,
    pushes: Option<PushHandler>,
}

#[derive(Clone)]
struct LiveConnection {
    connection: MultiplexedConnection,
    closed: Arc<AtomicBool>,
}

impl NodeConnection {
    pub(super) fn new(
        client: Client,
        patience: Patience,
        circuit: Arc<Circuit>,
        runtime: Handle,
        pushes: Option<PushHandler>,
    ) -> Self {
        let (live, connecting) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Self {
            client,
            patience,
            circuit,
            runtime,
            live,
            connecting,
            in_flight: Semaphore::new(IN_FLIGHT),
            pushes,
        }
    }

    /// Sends `message` and returns the answers. `longer` is added to the answer timeout (for
    /// `WAIT`).
    ///
    /// # Errors
    /// `Dead`, `NotSent`: nothing was done. `Lost`: it was sent, or may have been.
    pub(super) async fn send(
        &self,
        message: OutgoingCommands<'_>,
        longer: Duration,
    ) -> Result<Vec<Value>, NodeFailure> {
        if self.circuit.is_open() {
            return Err(NodeFailure::Dead);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(NodeFailure::NotSent(format!(
                "{IN_FLIGHT} calls wait for the node's answers"
            )));
        };
        let live = self.live().await?;
        self.exchange(live, message, longer).await
    }

    /// Sends a `PING`, even if the circuit is open.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) async fn probe(&self) -> Result<(), NodeFailure> {
        let live = self.live().await?;
        self.exchange(live, OutgoingCommands::One(&redis::cmd("PING")), Duration::ZERO)
            .await
            .map(|_| ())
    }

    async fn exchange(
        &self,
        mut live: LiveConnection,
        message: OutgoingCommands<'_>,
        longer: Duration,
    ) -> Result<Vec<Value>, NodeFailure> {
        let answered = async {
            match message {
                OutgoingCommands::One(command) => {
                    live.connection.send_packed_command(command).await.map(|value| vec![value])
                }
                OutgoingCommands::Many(pipeline) => {
                    live.connection.send_packed_commands(pipeline, 0, pipeline.len()).await
                }
            }
        };
        match timeout(self.patience.answer + longer, answered).await {
            Ok(Ok(values)) => {
                self.circuit.answered();
                Ok(values)
            }
            Ok(Err(error)) => {
                self.give_up(&live);
                Err(NodeFailure::lost(&error))
            }
            Err(_) => {
                if self.circuit.late() {
                    self.give_up(&live);
                }
                Err(NodeFailure::Lost("the node did not answer in time".to_owned()))
            }
        }
    }

    /// Closes a connection, so that the next call makes a new one.
    fn give_up(&self, old: &LiveConnection) {
        old.closed.store(true, Ordering::Release);
        let mut live = self.live.lock();
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(&live.closed, &old.closed)) {
            *live = None;
        }
    }

    fn known(&self) -> Option<LiveConnection> {
        self.live.lock().as_ref().filter(|live| !live.closed.load(Ordering::Acquire)).cloned()
    }

    async fn live(&self) -> Result<LiveConnection, NodeFailure> {
        if let Some(live) = self.known() {
            return Ok(live);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(live) = self.known() {
            return Ok(live);
        }
        match self.connect().await {
            Ok(live) => {
                *self.live.lock() = Some(live.clone());
                Ok(live)
            }
            Err(error) => {
                self.circuit.failed();
                Err(NodeFailure::not_sent(&error))
            }
        }
    }

    async fn connect(&self) -> RedisResult<LiveConnection> {
        let closed = Arc::new(AtomicBool::new(false));
        let (told, pushes) = (Arc::clone(&closed), self.pushes.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience.connect))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(UNSENT)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    told.store(true, Ordering::Release);
                }
                if let Some(pushes) = &pushes {
                    pushes(&push);
                }
                Ok::<(), redis::aio::SendError>(())
            });
        let client = self.client.clone();
        let tracking = self.pushes.is_some();
        // On the engine's runtime, which lives as long as the connection; the caller's may end
        // before.
        let connecting = self.runtime.spawn(async move {
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            if tracking {
                redis::cmd("CLIENT")
                    .arg("TRACKING")
                    .arg("ON")
                    .arg("OPTIN")
                    .exec_async(&mut connection)
                    .await?;
            }
            Ok(connection)
        });
        let connected: RedisResult<MultiplexedConnection> =
            match timeout(2 * self.patience.connect, connecting).await {
                Ok(Ok(connected)) => connected,
                Ok(Err(error)) => Err(std::io::Error::other(error).into()),
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            };
        Ok(LiveConnection { connection: connected?, closed })
    }
}
