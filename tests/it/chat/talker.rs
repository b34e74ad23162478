//! A chat client.

use kvrpc::pb::v1::chat_service_client::ChatServiceClient;
use kvrpc::pb::v1::{self, chat_request::Request, chat_response::Event};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::grpc::raw::{Failure, Raw};
use crate::harness::within;

/// An open Chat stream.
pub(crate) struct Talk {
    /// Dropping it ends the client's side.
    requests: Option<mpsc::Sender<v1::ChatRequest>>,
    responses: Streaming<v1::ChatResponse>,
    /// Highest position seen.
    pub(crate) position: Option<v1::Position>,
}

impl Talk {
    /// Opens a stream and joins.
    pub(crate) async fn join(raw: &Raw, room: &str, after: Option<v1::Position>) -> Self {
        let mut talk = Self::open(raw).await;
        talk.request(Request::Join(v1::ChatJoin { room: room.to_owned(), after })).await;
        talk
    }

    /// Opens a stream.
    pub(crate) async fn open(raw: &Raw) -> Self {
        let (requests, queue) = mpsc::channel(16);
        let mut client = ChatServiceClient::new(raw.channel.clone());
        let request = raw.request(ReceiverStream::new(queue));
        let responses =
            within("the stream opens", client.chat(request)).await.unwrap().into_inner();
        Self { requests: Some(requests), responses, position: None }
    }

    pub(crate) async fn request(&mut self, request: Request) {
        let request = v1::ChatRequest { request: Some(request) };
        within("the request is taken", self.requests.as_ref().unwrap().send(request))
            .await
            .unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str, id: &str) {
        let message = v1::ChatMessage { text: text.to_owned(), client_message_id: id.to_owned() };
        self.request(Request::Message(message)).await;
    }

    /// Ends the client's side.
    pub(crate) fn finish(&mut self) {
        self.requests = None;
    }

    /// Returns the next response, or `None` once the stream has ended without an error.
    pub(crate) async fn try_next(&mut self) -> Result<Option<v1::ChatResponse>, Status> {
        let response = within("a response comes", self.responses.message()).await?;
        if let Some(position) = response.as_ref().and_then(|response| response.position)
            && self.position.is_none_or(|seen| {
                seen.epoch != position.epoch || seen.sequence < position.sequence
            })
        {
            self.position = Some(position);
        }
        Ok(response)
    }

    /// Returns the next event.
    pub(crate) async fn next(&mut self) -> Event {
        self.try_next().await.unwrap().expect("the stream has ended").event.unwrap()
    }

    /// Returns the next event as text, skipping heartbeats.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            let event = self.next().await;
            if !matches!(event, Event::Heartbeat(_)) {
                return in_words(&event);
            }
        }
    }

    /// Returns the next events as text.
    pub(crate) async fn hear_all(&mut self, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.push(self.hear().await);
        }
        heard
    }

    /// Returns the last event before the end of the stream, and its final status.
    pub(crate) async fn end(&mut self) -> (Option<Event>, Result<(), Failure>) {
        let mut last = None;
        loop {
            match self.try_next().await {
                Ok(Some(response)) => last = response.event,
                Ok(None) => return (last, Ok(())),
                Err(status) => return (last, Err(status.into())),
            }
        }
    }
}

/// Returns an event as text.
pub(crate) fn in_words(event: &Event) -> String {
    let name = |user: &Option<v1::User>| user.as_ref().unwrap().name.clone();
    match event {
        Event::Welcome(welcome) => {
            let names: Vec<_> = welcome.members.iter().map(|user| &user.name[..]).collect();
            format!("{}: {}", welcome.room, names.join(" "))
        }
        Event::Joined(joined) => format!("+{}", name(&joined.user)),
        Event::Left(left) => format!("-{}", name(&left.user)),
        Event::Message(message) => format!("{}: {}", name(&message.user), message.text),
        Event::Ack(ack) => format!("ack {}", ack.client_message_id),
        Event::Rejected(rejected) => {
            format!("rejected {} {}", rejected.client_message_id, rejected.reason)
        }
        Event::Gap(_) => "gap".to_owned(),
        Event::Heartbeat(_) => "heartbeat".to_owned(),
        Event::Closing(closing) => format!("closing {}", closing.reason),
    }
}
