//! Measures what a delivery costs a chat server: its CPU time while every message of one sender
//! goes to all subscribers of a room.
//!
//! `fanout ADDRESS PID [SUBSCRIBERS] [CONNECTIONS] [MESSAGES] [WINDOW] [RATE]` prints microseconds
//! of the process PID for each delivery. WINDOW messages are on their way at a time: the next one
//! is sent when all subscribers have one more. With RATE, so many are sent a second instead,
//! whether or not those before have arrived.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvrpc::pb::v1::auth_service_client::AuthServiceClient;
use kvrpc::pb::v1::chat_service_client::ChatServiceClient;
use kvrpc::pb::v1::subscribe_response::Event;
use kvrpc::pb::v1::{SendRequest, SignInRequest, SubscribeRequest, SubscribeResponse};
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

const TEXT: &str = "a message of a hundred bytes, \
    which is about what people say in a chat when they have something to tell";

type Failure = Box<dyn Error + Send + Sync>;

/// Number of messages that arrived at all subscribers together, and its waiter.
#[derive(Default)]
struct Arrived {
    count: AtomicUsize,
    wanted: AtomicUsize,
    enough: Notify,
}

impl Arrived {
    fn one(&self) {
        if self.count.fetch_add(1, Ordering::AcqRel) + 1 >= self.wanted.load(Ordering::Acquire) {
            self.enough.notify_one();
        }
    }

    async fn wait(&self, wanted: usize) {
        self.wanted.store(wanted, Ordering::Release);
        while self.count.load(Ordering::Acquire) < wanted {
            self.enough.notified().await;
        }
    }
}

#[derive(Clone)]
struct Client {
    channel: Channel,
    token: Option<String>,
}

impl Client {
    async fn connect(address: &str, token: Option<String>) -> Result<Self, Failure> {
        let channel =
            Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
        Ok(Self { channel, token })
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, Failure> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        Ok(request)
    }

    async fn send(&self) -> Result<(), Failure> {
        let message = SendRequest { text: TEXT.to_owned(), ..Default::default() };
        ChatServiceClient::new(self.channel.clone()).send(self.request(message)?).await?;
        Ok(())
    }

    /// A stream that has had its first event.
    async fn subscribe(&self) -> Result<Streaming<SubscribeResponse>, Failure> {
        let request = self.request(SubscribeRequest::default())?;
        let mut stream =
            ChatServiceClient::new(self.channel.clone()).subscribe(request).await?.into_inner();
        stream.message().await?;
        Ok(stream)
    }
}

async fn count(
    mut stream: Streaming<SubscribeResponse>,
    arrived: Arc<Arrived>,
) -> Result<(), Failure> {
    while let Some(response) = stream.message().await? {
        match response.event {
            Some(Event::Message(_)) => arrived.one(),
            Some(Event::Gap(_)) => return Err("a subscriber was too slow".into()),
            _ => {}
        }
    }
    Ok(())
}

/// User and system time of a process, in ticks of 10 ms (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: &str) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| {
        fields.get(index).ok_or("a short stat")?.parse::<u64>().map_err(Failure::from)
    };
    Ok(field(11)? + field(12)?)
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "the result is what this prints")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(Ok(default), |text| text.parse())
    };
    let (address, pid) =
        (arguments.get(1).ok_or("no address")?, arguments.get(2).ok_or("no process id")?);
    let (subscribers, connections) = (number(3, 2_000)?, number(4, 20)?);
    let (messages, window, rate) = (number(5, 200)?, number(6, 1)?, number(7, 0)?);

    let opened = Client::connect(address, None).await?;
    let sign_in = SignInRequest { user: "bench".to_owned() };
    // The naive server has no sessions.
    let token = AuthServiceClient::new(opened.channel)
        .sign_in(sign_in)
        .await
        .ok()
        .map(|reply| reply.into_inner().token);
    let sender = Client::connect(address, token.clone()).await?;
    sender.send().await?;

    let arrived = Arc::new(Arrived::default());
    let mut history = 0;
    for index in 0..connections {
        let client = Client::connect(address, token.clone()).await?;
        for _ in (index..subscribers).step_by(connections) {
            tokio::spawn(count(client.subscribe().await?, Arc::clone(&arrived)));
            history += usize::from(token.is_some());
        }
    }
    // kvrpc sends the first message as the room's history.
    arrived.wait(history).await;

    let (before, start) = (ticks(pid)?, arrived.count.load(Ordering::Acquire));
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1) as u64));
    for sent in 0..messages {
        if rate > 0 {
            pace.tick().await;
        } else if sent >= window {
            arrived.wait(start + (sent + 1 - window) * subscribers).await;
        }
        sender.send().await?;
    }
    arrived.wait(start + messages * subscribers).await;
    let micros = (ticks(pid)? - before) * 10_000;
    println!("{:.3}", micros as f64 / (messages * subscribers) as f64);
    Ok(())
}
