//! One connection to a node, which comes back by itself.

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
use super::failure::Failure;
use super::settings::Patience;

/// How many calls may wait for one connection's answers.
const IN_FLIGHT: usize = 8_192;
/// How many of them may wait to be written.
const UNSENT: usize = 1_024;

/// What is told of pushes: a key that changed.
pub(super) type Pushes = Arc<dyn Fn(&PushInfo) + Send + Sync>;

/// What is sent at a time.
pub(super) enum Message<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

/// A connection that many calls share: what they send together goes out together.
pub(super) struct Lane {
    client: Client,
    patience: Patience,
    circuit: Arc<Circuit>,
    /// Where the connection's own work is done.
    runtime: Handle,
    live: Mutex<Option<Live>>,
    connecting: tokio::sync::Mutex<()>,
    in_flight: Semaphore,
    pushes: Option<Pushes>,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    closed: Arc<AtomicBool>,
}

impl Lane {
    pub(super) fn new(
        client: Client,
        patience: Patience,
        circuit: Arc<Circuit>,
        runtime: Handle,
        pushes: Option<Pushes>,
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

    /// Sends, and waits for the answers, so much longer than usual.
    pub(super) async fn send(
        &self,
        message: Message<'_>,
        longer: Duration,
    ) -> Result<Vec<Value>, Failure> {
        if self.circuit.is_open() {
            return Err(Failure::Dead);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(Failure::NotSent(format!("{IN_FLIGHT} calls wait for the node's answers")));
        };
        let live = self.live().await?;
        self.exchange(live, message, longer).await
    }

    /// Asks whether the node is there, whatever is thought of it.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        let live = self.live().await?;
        self.exchange(live, Message::One(&redis::cmd("PING")), Duration::ZERO).await.map(|_| ())
    }

    async fn exchange(
        &self,
        mut live: Live,
        message: Message<'_>,
        longer: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let answered = async {
            match message {
                Message::One(command) => {
                    live.connection.send_packed_command(command).await.map(|value| vec![value])
                }
                Message::Many(pipeline) => {
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
                Err(Failure::lost(&error))
            }
            Err(_) => {
                if self.circuit.late() {
                    self.give_up(&live);
                }
                Err(Failure::Lost("the node did not answer in time".to_owned()))
            }
        }
    }

    fn give_up(&self, old: &Live) {
        old.closed.store(true, Ordering::Release);
        let mut live = self.live.lock();
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(&live.closed, &old.closed)) {
            *live = None;
        }
    }

    fn known(&self) -> Option<Live> {
        self.live.lock().as_ref().filter(|live| !live.closed.load(Ordering::Acquire)).cloned()
    }

    async fn live(&self) -> Result<Live, Failure> {
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
                Err(Failure::not_sent(&error))
            }
        }
    }

    async fn connect(&self) -> RedisResult<Live> {
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
        // On the runtime that lives as long as the engine: the caller's may be gone before the
        // connection is.
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
        Ok(Live { connection: connected?, closed })
    }
}
