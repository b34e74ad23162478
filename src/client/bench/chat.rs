//! Messages of chat: every member of a room talks, and the time of a message runs until a member
//! has it.
//!
//! A message carries when it was due. Each member's stream is read by a task of its own, which
//! checks and times what comes; the server's limit of messages a second paces a closed loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::drive::{Run, Times};
use super::lane::{Lane, wrong};
use super::people::Person;
use crate::client::args::Settings;
use crate::client::connect;
use crate::client::explain::{explain, timed_out};
use crate::client::failure::{Failure, Result};
use crate::client::session::Session;
use crate::dialect::grammar::BenchCall;
use crate::model::Reason;
use crate::pb::v1::chat_request::Request as Kind;
use crate::pb::v1::chat_response::Event;
use crate::pb::v1::chat_service_client::ChatServiceClient;
use crate::pb::v1::{ChatJoin, ChatMessage, ChatRequest, ChatResponse, Rejected};

/// The longest text of a message is 4 KiB; the time stands in it.
const TIME_DIGITS: usize = 20;

/// A member that talks.
pub(super) struct ChatLane {
    requests: mpsc::Sender<ChatRequest>,
    answers: mpsc::Receiver<Answer>,
    reader: tokio::task::JoinHandle<Result<()>>,
    delivered: Arc<AtomicU64>,
    members: u64,
    padding: Arc<str>,
    epoch: Instant,
    settings: Arc<Settings>,
    said: u64,
}

/// What the server says of a message of one's own.
enum Answer {
    Taken(String),
    Refused(Rejected),
}

/// The members of a new room, each with a connection and a user of its own.
pub(super) async fn lanes(
    session: &Session,
    call: &BenchCall,
    run: &Run,
    people: &mut Vec<Person>,
) -> Result<Vec<Lane>> {
    let room = super::people::guest_name();
    let (delivered, epoch) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let padding: Arc<str> = "x".repeat(call.value_size.saturating_sub(TIME_DIGITS + 1)).into();
    let mut lanes = Vec::with_capacity(call.connections);
    for _ in 0..call.connections {
        let person = Person::guest(session).await?;
        let (requests, outgoing) = mpsc::channel(1);
        let join =
            ChatRequest { request: Some(Kind::Join(ChatJoin { room: room.clone(), after: None })) };
        // There is room for one.
        let _ = requests.try_send(join);
        let mut client = ChatServiceClient::new(connect::channel(&session.settings)?);
        let request = person.request(ReceiverStream::new(outgoing));
        people.push(person);
        let responses = match client.chat(request).await {
            Ok(responses) => responses.into_inner(),
            Err(status) => return Err(explain(&status, &session.settings).await),
        };
        let (answer, answers) = mpsc::channel(1);
        let reader = Reader {
            responses,
            answer,
            delivered: Arc::clone(&delivered),
            times: Arc::clone(&run.times),
            padding: Arc::clone(&padding),
            epoch,
            settings: Arc::clone(&session.settings),
        };
        let (welcomed, welcome) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(reader.read(welcomed));
        if timeout(session.settings.timeout, welcome).await.is_err() {
            return Err(timed_out(&session.settings));
        }
        lanes.push(ChatLane {
            requests,
            answers,
            reader,
            delivered: Arc::clone(&delivered),
            members: call.connections as u64,
            padding: Arc::clone(&padding),
            epoch,
            settings: Arc::clone(&session.settings),
            said: 0,
        });
    }
    Ok(lanes.into_iter().map(|lane| Lane::Chat(Box::new(lane))).collect())
}

impl ChatLane {
    /// Says something, and waits until the server has taken it.
    pub(super) async fn request(&mut self, due: Instant) -> Result<()> {
        self.said += 1;
        let id = self.said.to_string();
        let mut due = due;
        loop {
            let nanos = due.duration_since(self.epoch).as_nanos();
            let text = format!("{nanos:0width$} {}", self.padding, width = TIME_DIGITS);
            let message = ChatMessage { text, client_message_id: id.clone() };
            let sent =
                self.requests.send(ChatRequest { request: Some(Kind::Message(message)) }).await;
            let answer = self.answers.recv().await;
            match (sent, answer) {
                (Ok(()), Some(Answer::Taken(taken))) if taken == id => return Ok(()),
                (Ok(()), Some(Answer::Taken(taken))) => {
                    return Err(wrong("Chat", taken.as_bytes(), id.as_bytes()));
                }
                (Ok(()), Some(Answer::Refused(refused))) => {
                    tokio::time::sleep(self.patience(&refused)?).await;
                    due = Instant::now();
                }
                (Err(_), _) | (_, None) => return Err(self.ended().await),
            }
        }
    }

    /// How long to wait before it is said again.
    fn patience(&self, refused: &Rejected) -> Result<Duration> {
        let limited = Reason::parse(&refused.reason) == Some(Reason::RateLimited);
        match refused.retry_after.map(Duration::try_from) {
            Some(Ok(wait)) if limited && wait < self.settings.timeout => Ok(wait),
            Some(Ok(_) | Err(_)) | None => Err(Failure::failed(refused.message.clone())),
        }
    }

    /// Why there are no more answers.
    async fn ended(&mut self) -> Failure {
        match (&mut self.reader).await {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) | Err(_) => Failure::failed("the server ended the stream"),
        }
    }

    /// Waits until every member has every message.
    pub(super) async fn finish(mut self, messages: u64) -> Result<()> {
        let want = messages * self.members;
        let end = Instant::now() + self.settings.timeout;
        while self.delivered.load(Ordering::Acquire) < want {
            if self.reader.is_finished() {
                return Err(self.ended().await);
            }
            if Instant::now() >= end {
                let got = self.delivered.load(Ordering::Acquire).to_string();
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

/// What a member hears.
struct Reader {
    responses: Streaming<ChatResponse>,
    answer: mpsc::Sender<Answer>,
    delivered: Arc<AtomicU64>,
    times: Arc<Times>,
    padding: Arc<str>,
    epoch: Instant,
    settings: Arc<Settings>,
}

impl Reader {
    async fn read(mut self, welcomed: tokio::sync::oneshot::Sender<()>) -> Result<()> {
        let mut welcomed = Some(welcomed);
        loop {
            let response = match self.responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return Err(Failure::failed("the server ended the stream")),
                Err(status) => return Err(explain(&status, &self.settings).await),
            };
            let answer = match response.event {
                Some(Event::Message(message)) => {
                    self.heard(&message.text)?;
                    continue;
                }
                Some(Event::Ack(ack)) => Answer::Taken(ack.client_message_id),
                Some(Event::Rejected(rejected)) => Answer::Refused(rejected),
                Some(Event::Welcome(_)) => {
                    if let Some(welcomed) = welcomed.take() {
                        // Whoever waited may have given up.
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

    /// Checks a message, and takes its time.
    fn heard(&self, text: &str) -> Result<()> {
        let nanos = match text.split_once(' ') {
            Some((time, rest)) if *rest == *self.padding => time.parse().ok(),
            Some(_) | None => None,
        };
        let nanos: u64 =
            nanos.ok_or_else(|| wrong("Chat", text.as_bytes(), b"a message as it was sent"))?;
        let due = self.epoch + Duration::from_nanos(nanos);
        self.times.record(Instant::now().saturating_duration_since(due));
        self.delivered.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
