//! One room, from the join to the leave, over as many streams as it takes.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::format::{HELP, TypedLine, name};
use super::reconnect::{Reconnect, in_short, refused};
use super::screen::Screen;
use crate::commands::rooms::{list_members, list_rooms};
use crate::failure::{Failure, Result};
use crate::run::Runner;
use kvrpc::dialect::sanitize;
use kvrpc::model::RoomName;
use kvrpc::pb::v1::chat_request::Request as Kind;
use kvrpc::pb::v1::chat_response::Event;
use kvrpc::pb::v1::chat_service_client::ChatServiceClient;
use kvrpc::pb::v1::{ChatJoin, ChatMessage, ChatRequest, ChatResponse, Position, Welcome};

/// Messages that wait for their acknowledgement; with so many, no more lines are read.
const MAX_UNACKNOWLEDGED: usize = 64;

/// Why a room is left.
pub(super) enum Leave {
    Quit,
    Join(RoomName),
}

/// A room, and what was said there and not yet acknowledged.
pub(super) struct RoomSession<'a> {
    runner: &'a mut Runner,
    screen: &'a mut Screen,
    room: RoomName,
    /// The highest position seen.
    seen: Option<Position>,
    unacknowledged: VecDeque<ChatMessage>,
    /// Prefix of this session's message ids, which makes them unique.
    ids: u64,
    said: u64,
    /// Destination once all messages have arrived: no more lines are read.
    leave: Option<Leave>,
    /// The first message that was refused, for the exit code.
    refused: Option<Failure>,
}

/// An open stream.
struct OpenStream {
    responses: Streaming<ChatResponse>,
    /// `None`: this side has ended.
    requests: Option<mpsc::Sender<ChatRequest>>,
}

/// Next event of the session.
enum SessionEvent {
    Response(std::result::Result<Option<ChatResponse>, Status>),
    Line(Option<String>),
}

impl<'a> RoomSession<'a> {
    pub(super) fn new(runner: &'a mut Runner, screen: &'a mut Screen, room: RoomName) -> Self {
        let (unacknowledged, ids) = (VecDeque::new(), rand::random());
        Self {
            runner,
            screen,
            room,
            seen: None,
            unacknowledged,
            ids,
            said: 0,
            leave: None,
            refused: None,
        }
    }

    pub(super) async fn run(mut self) -> Result<Leave> {
        let mut reconnect = Reconnect::default();
        loop {
            let opened = self.open().await;
            let requests = opened.as_ref().ok().and_then(|open| open.requests.clone());
            let Some(responses) = reconnect.opened(opened.map(|open| open.responses)).await? else {
                continue;
            };
            let mut open = OpenStream { responses, requests };
            self.resend(&mut open);
            let Some(status) = self.converse(&mut open, &mut reconnect).await? else {
                return self.left();
            };
            self.screen.notice(&format!("- {}; connecting again -", in_short(&status)))?;
            if self.wait(&mut reconnect, &status).await? {
                return Ok(Leave::Quit);
            }
        }
    }

    /// Waits for the next try; what is said meanwhile is kept for it. True if the person has had
    /// enough.
    async fn wait(&mut self, reconnect: &mut Reconnect, status: &Status) -> Result<bool> {
        loop {
            let listens = self.leave.is_none() && self.unacknowledged.len() < MAX_UNACKNOWLEDGED;
            let line = tokio::select! {
                waited = reconnect.lost(&self.runner.session.settings, status) => {
                    return waited.map(|()| false);
                }
                line = self.screen.line(), if listens => line,
            };
            match line.map(|line| TypedLine::of(&line)) {
                None if !self.screen.is_terminal() => self.leave = Some(Leave::Quit),
                None | Some(TypedLine::Quit) => return Ok(true),
                Some(TypedLine::Text(text)) => _ = self.message(text),
                Some(_) => self.screen.notice("- not connected -")?,
            }
        }
    }

    /// A message with an id, kept until it is acknowledged.
    fn message(&mut self, text: String) -> ChatMessage {
        self.said += 1;
        let message =
            ChatMessage { text, client_message_id: format!("{:x}-{}", self.ids, self.said) };
        self.unacknowledged.push_back(message.clone());
        message
    }

    /// A program's exit code tells that something was refused; a person has read it.
    fn left(self) -> Result<Leave> {
        match self.refused {
            Some(failure) if !self.screen.is_terminal() => Err(failure),
            Some(_) | None => Ok(self.leave.unwrap_or(Leave::Quit)),
        }
    }

    async fn open(&self) -> Result<OpenStream> {
        let join = ChatJoin { room: self.room.as_str().to_owned(), after: self.seen };
        let sender = Mutex::new(None);
        let rpc = async |channel, request: Request<ChatJoin>| {
            let (requests, queue) = mpsc::channel(2 * MAX_UNACKNOWLEDGED);
            let (metadata, extensions, join) = request.into_parts();
            // The queue is empty, so there is room.
            let _ = requests.try_send(ChatRequest { request: Some(Kind::Join(join)) });
            *sender.lock() = Some(requests);
            let request = Request::from_parts(metadata, extensions, ReceiverStream::new(queue));
            ChatServiceClient::new(channel).chat(request).await
        };
        let responses = self.runner.session.open(join, rpc).await?;
        Ok(OpenStream { responses, requests: sender.into_inner() })
    }

    /// Says again what may not have arrived: the ids make that harmless.
    fn resend(&self, open: &mut OpenStream) {
        for message in &self.unacknowledged {
            open.say(message.clone());
        }
        if self.leave.is_some() {
            open.requests = None;
        }
    }

    /// Talks over one stream; `None`: it came to its end, otherwise how it was lost.
    async fn converse(
        &mut self,
        open: &mut OpenStream,
        reconnect: &mut Reconnect,
    ) -> Result<Option<Status>> {
        loop {
            let listens = self.leave.is_none() && self.unacknowledged.len() < MAX_UNACKNOWLEDGED;
            let event = tokio::select! {
                response = Reconnect::next_or_end(&mut open.responses) => {
                    SessionEvent::Response(response)
                }
                line = self.screen.line(), if listens => SessionEvent::Line(line),
            };
            match event {
                SessionEvent::Response(Ok(Some(response))) => {
                    reconnect.is_well();
                    self.hear(response)?;
                }
                SessionEvent::Response(Ok(None)) if self.leave.is_some() => return Ok(None),
                SessionEvent::Response(Ok(None)) => {
                    return Ok(Some(Status::unavailable("the stream has ended")));
                }
                SessionEvent::Response(Err(status)) => return Ok(Some(status)),
                SessionEvent::Line(None) => self.leave = Some(Leave::Quit),
                SessionEvent::Line(Some(line)) => self.leave = self.do_line(open, &line).await?,
            }
            if self.leave.is_some() {
                // The stream ends when all of it was answered.
                open.requests = None;
            }
        }
    }

    fn hear(&mut self, response: ChatResponse) -> Result<()> {
        if let Some(position) = response.position
            && self.seen.is_none_or(|seen| {
                seen.epoch != position.epoch || seen.sequence < position.sequence
            })
        {
            self.seen = Some(position);
        }
        match &response.event {
            Some(Event::Ack(ack)) => self.acknowledged(&ack.client_message_id),
            Some(Event::Rejected(rejected)) => {
                self.acknowledged(&rejected.client_message_id);
                if !self.screen.is_terminal() {
                    self.screen
                        .notice(&format!("not sent: {}", sanitize::text(&rejected.message)))?;
                }
                let failure = || refused(&rejected.reason, &rejected.message);
                self.refused.get_or_insert_with(failure);
            }
            Some(Event::Welcome(welcome)) => self.welcome(welcome)?,
            Some(_) | None => {}
        }
        self.screen.show(&response, &mut self.runner.output)
    }

    fn acknowledged(&mut self, id: &str) {
        self.unacknowledged.retain(|message| message.client_message_id != id);
    }

    fn welcome(&mut self, welcome: &Welcome) -> Result<()> {
        if !self.screen.is_terminal() {
            return Ok(());
        }
        let who: Vec<_> = welcome.members.iter().map(|user| name(Some(user))).collect();
        let more = (welcome.member_count as usize).saturating_sub(who.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let room = sanitize::text(&welcome.room).into_owned();
        self.screen.notice(&format!("- you are in {room} with {}{more}; /help -", who.join(", ")))
    }

    async fn do_line(&mut self, open: &mut OpenStream, line: &str) -> Result<Option<Leave>> {
        match TypedLine::of(line) {
            TypedLine::Nothing => {}
            TypedLine::Text(text) => open.say(self.message(text)),
            TypedLine::Who => match list_members(&self.runner.session, &self.room).await {
                Ok(members) => {
                    let names: Vec<_> = members.iter().map(|user| name(Some(user))).collect();
                    self.screen.notice(&format!("- here: {} -", names.join(", ")))?;
                }
                Err(failure) => {
                    self.screen.notice(&format!("- {} -", sanitize::text(failure.message())))?
                }
            },
            TypedLine::Rooms => match list_rooms(&self.runner.session).await {
                Ok(rooms) => {
                    let rooms: Vec<_> = rooms
                        .iter()
                        .map(|room| {
                            format!("{} ({})", sanitize::text(&room.name), room.member_count)
                        })
                        .collect();
                    self.screen.notice(&format!("- rooms: {} -", rooms.join(", ")))?;
                }
                Err(failure) => {
                    self.screen.notice(&format!("- {} -", sanitize::text(failure.message())))?
                }
            },
            TypedLine::Join(room) => return Ok(Some(Leave::Join(room))),
            TypedLine::Quit => return Ok(Some(Leave::Quit)),
            TypedLine::Help => self.screen.notice(HELP)?,
            TypedLine::Invalid(why) => {
                self.screen.notice(&format!("- {} -", sanitize::text(&why)))?
            }
        }
        Ok(None)
    }
}

impl OpenStream {
    fn say(&self, message: ChatMessage) {
        if let Some(requests) = &self.requests {
            // There is room for twice as many as are ever on their way; a stream that has ended
            // says so itself.
            let _ = requests.try_send(ChatRequest { request: Some(Kind::Message(message)) });
        }
    }
}
