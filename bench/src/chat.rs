//! Chat: every member of a room sends messages, and a latency ends when a member receives one.
//!
//! A message carries the time at which it was due. A task reads the stream of each member, checks
//! the messages and records their latencies. The server's limit of messages a second slows a closed
//! loop down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::args::Options;
use crate::caller::{Caller, wrong};
use crate::client::Client;
use crate::drive::{Run, Times};
use crate::failure::{Failure, Result};
use crate::users::{User, guest_name};
use kvrpc::model::Reason;
use kvrpc::pb::v1::chat_request::Request as Kind;
use kvrpc::pb::v1::chat_response::Event;
use kvrpc::pb::v1::chat_service_client::ChatServiceClient;
use kvrpc::pb::v1::{ChatJoin, ChatMessage, ChatRequest, ChatResponse, Rejected};

/// Decimal digits of the time at the start of a message.
const TIME_DIGITS: usize = 20;

/// A member that sends messages.
pub(crate) struct ChatCaller {
    requests: mpsc::Sender<ChatRequest>,
    answers: mpsc::Receiver<Answer>,
    reader: JoinHandle<Result<()>>,
    room: Arc<Room>,
    sent: u64,
}

/// State that the members share.
struct Room {
    name: String,
    members: u64,
    /// Number of messages received by all members together.
    delivered: AtomicU64,
    times: Arc<Times>,
    /// Text of every message after its time.
    padding: String,
    epoch: Instant,
    client: Arc<Client>,
}

/// The server's answer to a message of this member.
enum Answer {
    Accepted(String),
    Rejected(Rejected),
}

/// Makes the members of a new room, each with a connection and a user of its own.
pub(crate) async fn callers(
    client: &Arc<Client>,
    options: &Options,
    run: &Run,
    users: &mut Vec<User>,
) -> Result<Vec<Caller>> {
    let room = Room {
        name: guest_name(),
        members: options.connections as u64,
        delivered: AtomicU64::new(0),
        times: Arc::clone(&run.times),
        padding: "x".repeat(options.value_size.saturating_sub(TIME_DIGITS + 1)),
        epoch: Instant::now(),
        client: Arc::clone(client),
    };
    let room = Arc::new(room);
    let mut callers = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        let user = User::guest(client).await?;
        let caller = ChatCaller::join(&room, &user).await;
        users.push(user);
        callers.push(Caller::Chat(Box::new(caller?)));
    }
    Ok(callers)
}

impl ChatCaller {
    /// Joins the room over a new connection, and waits for the server's welcome.
    async fn join(room: &Arc<Room>, user: &User) -> Result<Self> {
        let client = &room.client;
        let (requests, outgoing) = mpsc::channel(1);
        let join = ChatJoin { room: room.name.clone(), after: None };
        // The channel has room for one.
        let _ = requests.try_send(ChatRequest { request: Some(Kind::Join(join)) });
        let mut service = ChatServiceClient::new(client.connect());
        let responses =
            client.call(service.chat(user.request(ReceiverStream::new(outgoing)))).await?;
        let (answer, answers) = mpsc::channel(1);
        let (welcomed, welcome) = oneshot::channel();
        let reader = Reader { responses, answer, room: Arc::clone(room) };
        let mut reader = tokio::spawn(reader.read(welcomed));
        match timeout(client.timeout, welcome).await {
            Ok(Ok(())) => Ok(Self { requests, answers, reader, room: Arc::clone(room), sent: 0 }),
            Ok(Err(_)) => Err(ended(&mut reader).await),
            Err(_) => Err(Failure::unavailable("no welcome in time (see --timeout)")),
        }
    }

    /// Sends a message, and waits until the server has accepted it.
    pub(crate) async fn request(&mut self, due: Instant) -> Result<()> {
        self.sent += 1;
        let id = self.sent.to_string();
        let mut due = due;
        loop {
            let nanos = due.duration_since(self.room.epoch).as_nanos();
            let text = format!("{nanos:0TIME_DIGITS$} {}", self.room.padding);
            let message = ChatMessage { text, client_message_id: id.clone() };
            let sent =
                self.requests.send(ChatRequest { request: Some(Kind::Message(message)) }).await;
            let answer = self.answers.recv().await;
            match (sent, answer) {
                (Ok(()), Some(Answer::Accepted(accepted))) if accepted == id => return Ok(()),
                (Ok(()), Some(Answer::Accepted(accepted))) => {
                    return Err(wrong("Chat", accepted.as_bytes(), id.as_bytes()));
                }
                (Ok(()), Some(Answer::Rejected(rejected))) => {
                    tokio::time::sleep(self.retry_wait(&rejected)?).await;
                    due = Instant::now();
                }
                (Err(_), _) | (_, None) => return Err(ended(&mut self.reader).await),
            }
        }
    }

    /// The time to wait before the message is sent again.
    ///
    /// # Errors
    /// A rejection for another reason than RATE_LIMITED.
    fn retry_wait(&self, rejected: &Rejected) -> Result<Duration> {
        let limited = Reason::parse(&rejected.reason) == Some(Reason::RateLimited);
        match rejected.retry_after.map(Duration::try_from) {
            Some(Ok(wait)) if limited && wait < self.room.client.timeout => Ok(wait),
            Some(Ok(_) | Err(_)) | None => Err(Failure::failed(rejected.message.clone())),
        }
    }

    /// Waits until every member has every message.
    pub(crate) async fn finish(mut self, messages: u64) -> Result<()> {
        let want = messages * self.room.members;
        let end = Instant::now() + self.room.client.timeout;
        while self.room.delivered.load(Ordering::Acquire) < want {
            if self.reader.is_finished() {
                return Err(ended(&mut self.reader).await);
            }
            if Instant::now() >= end {
                let got = self.room.delivered.load(Ordering::Acquire).to_string();
                return Err(wrong(
                    "Chat, in deliveries",
                    got.as_bytes(),
                    want.to_string().as_bytes(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.reader.abort();
        Ok(())
    }
}

/// The reason why the stream has ended.
async fn ended(reader: &mut JoinHandle<Result<()>>) -> Failure {
    match reader.await {
        Ok(Err(failure)) => failure,
        Ok(Ok(())) | Err(_) => Failure::failed("the server ended the stream"),
    }
}

/// The stream to a member.
struct Reader {
    responses: Streaming<ChatResponse>,
    answer: mpsc::Sender<Answer>,
    room: Arc<Room>,
}

impl Reader {
    async fn read(mut self, welcomed: oneshot::Sender<()>) -> Result<()> {
        let mut welcomed = Some(welcomed);
        loop {
            let response = match self.responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return Err(Failure::failed("the server ended the stream")),
                Err(status) => return Err(self.room.client.explain(&status)),
            };
            let answer = match response.event {
                Some(Event::Message(message)) => {
                    self.received(&message.text)?;
                    continue;
                }
                Some(Event::Ack(ack)) => Answer::Accepted(ack.client_message_id),
                Some(Event::Rejected(rejected)) => Answer::Rejected(rejected),
                Some(Event::Welcome(_)) => {
                    if let Some(welcomed) = welcomed.take() {
                        // The receiver is gone if `join` timed out.
                        let _ = welcomed.send(());
                    }
                    continue;
                }
                Some(Event::Gap(_)) => {
                    return Err(Failure::failed("a member was too slow: messages are missing"));
                }
                Some(Event::Closing(_)) => {
                    return Err(Failure::failed("the server closes the stream"));
                }
                Some(Event::Joined(_) | Event::Left(_) | Event::Heartbeat(_)) | None => continue,
            };
            if self.answer.send(answer).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Checks a message, and records its latency.
    fn received(&self, text: &str) -> Result<()> {
        let nanos = match text.split_once(' ') {
            Some((time, rest)) if rest == self.room.padding => time.parse().ok(),
            Some(_) | None => None,
        };
        let nanos: u64 =
            nanos.ok_or_else(|| wrong("Chat", text.as_bytes(), b"a message as it was sent"))?;
        let due = self.room.epoch + Duration::from_nanos(nanos);
        self.room.times.record(Instant::now().saturating_duration_since(due));
        self.room.delivered.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
