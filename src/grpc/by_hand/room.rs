//! Chat and Subscribe: the events of a room and, for Chat, the messages that the client sends.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream as _};
use tokio::time::{Sleep, sleep, timeout};
use tonic::{Request as TonicRequest, Response, Status, Streaming};

use super::events::{Events, Source, StreamItem};
use super::guard::Guarded;
use crate::grpc::call::Call;
use crate::grpc::deadline;
use crate::model::{ChatEvent, ChatMessage, Error, Position, Reason, Result, RoomName, request};
use crate::pb::v1::{self, chat_request::Request, chat_response::Event};
use crate::pb::{self, Framed};
use crate::service::rooms::Publication;
use crate::service::{FeedItem, RoomSubscription};

/// Maximum number of answers of a stream's own that wait to go out. With so many, no more requests
/// are read.
const MAX_WAITING: usize = 64;

/// The stream of Chat.
pub(in crate::grpc) type ChatStream = Guarded<Events<RoomSource>>;
/// The stream of Subscribe.
pub(in crate::grpc) type SubscribeStream = Guarded<Events<RoomSource>>;

/// Answers Chat. Its requests are read while the stream of replies is polled: a client that does
/// not take replies is not read from either.
pub(in crate::grpc) async fn chat(
    call: &Arc<Call>,
    request: TonicRequest<Streaming<v1::ChatRequest>>,
) -> std::result::Result<Response<ChatStream>, Status> {
    // The headers go out before the first request: a client may wait for them before it sends one.
    let patience = call.service().limits().call_timeout;
    Ok(respond(call, RoomSource::chat(Arc::clone(call), request.into_inner(), patience)))
}

/// Answers Subscribe.
pub(in crate::grpc) async fn subscribe(
    call: &Arc<Call>,
    request: TonicRequest<v1::SubscribeRequest>,
) -> std::result::Result<Response<SubscribeStream>, Status> {
    let opening = async {
        let command = request::Subscribe::try_from(request.into_inner())?;
        let joining = call.execute(command);
        match timeout(call.service().limits().call_timeout, joining).await {
            Ok(joined) => Ok(RoomSource::subscribe(Arc::clone(call), joined?)),
            Err(_) => Err(deadline::exceeded()),
        }
    };
    let room = opening.await.map_err(|error: Error| call.fail(&error))?;
    Ok(respond(call, room))
}

fn respond(call: &Arc<Call>, room: RoomSource) -> Response<Guarded<Events<RoomSource>>> {
    Response::new(Guarded::new(Events::new(Arc::clone(call), room), Arc::clone(call)))
}

/// A stream in a room, or one that is about to join.
pub(in crate::grpc) struct RoomSource {
    call: Arc<Call>,
    /// The requests, or `None` for Subscribe and once the client has ended its side.
    requests: Option<Streaming<v1::ChatRequest>>,
    /// True if the stream ends with its requests.
    ends: bool,
    /// The room, or `None` before the join.
    conversation: Option<RoomSubscription>,
    /// The join in progress.
    joining: Option<BoxFuture<'static, Result<RoomSubscription>>>,
    /// Deadline of the first request, which must be a join.
    patience: Option<Pin<Box<Sleep>>>,
    /// Answers of this stream's own, which go out before any more events.
    out: VecDeque<Framed>,
    /// Accepted messages with their positions. Each is acknowledged once the stream has reached its
    /// position, so that positions rise.
    taken: VecDeque<(Position, String)>,
    /// The message that the store is about to accept, by its id, and its outcome.
    saying: Option<(String, BoxFuture<'static, Result<Position>>)>,
    /// A message that waits for its user's rate.
    held: Option<ChatMessage>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl RoomSource {
    /// Returns a stream that joins with its first request, within `patience`.
    fn chat(call: Arc<Call>, requests: Streaming<v1::ChatRequest>, patience: Duration) -> Self {
        let patience = Some(Box::pin(sleep(patience)));
        Self { requests: Some(requests), ends: true, patience, ..Self::empty(call) }
    }

    /// Returns a stream that has joined, and sends no messages.
    fn subscribe(call: Arc<Call>, conversation: RoomSubscription) -> Self {
        let mut this = Self::empty(call);
        this.begin(conversation);
        this
    }

    fn empty(call: Arc<Call>) -> Self {
        Self {
            call,
            requests: None,
            ends: false,
            conversation: None,
            joining: None,
            patience: None,
            out: VecDeque::new(),
            taken: VecDeque::new(),
            saying: None,
            held: None,
            rest: None,
        }
    }

    fn begin(&mut self, conversation: RoomSubscription) {
        let welcome = conversation.membership.welcome();
        let gap = welcome.gap;
        let welcome = Event::Welcome(pb::welcome(welcome));
        self.conversation = Some(conversation);
        self.patience = None;
        self.out.extend(self.about(welcome));
        if gap {
            self.out.extend(self.about(Event::Gap(v1::Gap {})));
        }
    }

    /// Encodes an event of this stream alone, at the position that the stream has reached.
    fn about(&self, event: Event) -> Option<Framed> {
        let position = self.conversation.as_ref()?.membership.position();
        Some(Framed::new(&v1::ChatResponse { position: Some(position.into()), event: Some(event) }))
    }

    /// Reads the next request.
    fn poll_request(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<Option<Request>, StreamItem>> {
        let Some(requests) = &mut self.requests else { return Poll::Pending };
        match Pin::new(requests).poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.requests = None;
                Poll::Ready(Ok(None))
            }
            Poll::Ready(Some(Ok(request))) => match request.request {
                Some(request) => Poll::Ready(Ok(Some(request))),
                None => Poll::Ready(Ok(Some(Request::Message(v1::ChatMessage::default())))),
            },
            Poll::Ready(Some(Err(status))) => Poll::Ready(Err(StreamItem::Refused(status))),
        }
    }

    /// Waits for the first request, and joins.
    fn poll_join(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<(), StreamItem>> {
        let joined = match self.poll_joining(context) {
            Poll::Ready(Ok(joined)) => joined,
            Poll::Ready(Err(outcome)) => return Poll::Ready(Err(outcome)),
            Poll::Pending => {
                let late = self
                    .patience
                    .as_mut()
                    .is_some_and(|patience| patience.as_mut().poll(context).is_ready());
                return if late {
                    Poll::Ready(Err(StreamItem::Failed(deadline::exceeded())))
                } else {
                    Poll::Pending
                };
            }
        };
        Poll::Ready(joined.map(|conversation| self.begin(conversation)).map_err(StreamItem::Failed))
    }

    fn poll_joining(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<Result<RoomSubscription>, StreamItem>> {
        if self.joining.is_none() {
            let Poll::Ready(request) = self.poll_request(context) else { return Poll::Pending };
            let join = match request {
                Ok(Some(Request::Join(join))) => join,
                Ok(Some(Request::Message(_)) | None) => {
                    let what = "the first request is no join; send one before any message";
                    return Poll::Ready(Ok(Err(Error::new(Reason::InvalidMessage, what))));
                }
                Err(outcome) => return Poll::Ready(Err(outcome)),
            };
            let call = Arc::clone(&self.call);
            self.joining = Some(Box::pin(async move {
                let room = RoomName::new(join.room)?;
                call.execute(request::Chat { room, after: join.after.map(Into::into) }).await
            }));
        }
        let Some(joining) = &mut self.joining else { return Poll::Pending };
        let joined = joining.poll_unpin(context);
        if joined.is_ready() {
            self.joining = None;
        }
        joined.map(Ok)
    }

    /// Takes the requests that have arrived, while there is room for their answers and the rate
    /// allows.
    fn take_requests(&mut self, context: &mut Context<'_>) -> std::result::Result<(), StreamItem> {
        while self.out.len() + self.taken.len() < MAX_WAITING {
            if self.poll_said(context).is_pending() {
                return Ok(());
            }
            if let Some(saying) = self.held.take() {
                if self.say(context, saying).is_pending() {
                    return Ok(());
                }
                continue;
            }
            let Poll::Ready(request) = self.poll_request(context) else { return Ok(()) };
            match request? {
                Some(Request::Message(message)) => {
                    let id = message.client_message_id.clone();
                    match ChatMessage::new(message.text, message.client_message_id) {
                        Ok(saying) => self.held = Some(saying),
                        Err(error) => self.reject(&id, &error),
                    }
                }
                Some(Request::Join(_)) => {
                    let error = Error::new(
                        Reason::InvalidMessage,
                        "the stream has joined already; open another for another room",
                    );
                    self.reject("", &error);
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Publishes a message, or keeps it until its user's rate allows it. Until then nothing more is
    /// read, and flow control halts the client.
    fn say(&mut self, context: &mut Context<'_>, saying: ChatMessage) -> Poll<()> {
        if let Some(rest) = &mut self.rest
            && rest.as_mut().poll(context).is_pending()
        {
            self.held = Some(saying);
            return Poll::Pending;
        }
        self.rest = None;
        let Some(conversation) = &self.conversation else { return Poll::Ready(()) };
        if let Err(wait) = self.call.service().admit_message(&conversation.session.user) {
            let mut rest = Box::pin(sleep(wait));
            // The poll registers the task to be woken.
            if rest.as_mut().poll(context).is_pending() {
                self.rest = Some(rest);
                self.held = Some(saying);
                return Poll::Pending;
            }
        }
        let said = conversation.membership.publish(&saying);
        let id = saying.into_parts().1.unwrap_or_default();
        match said {
            Publication::Ready(said) => self.said(id, said),
            Publication::Pending(said) => self.saying = Some((id, said)),
        }
        Poll::Ready(())
    }

    /// Waits for the outcome of the latest message: messages are published one after another.
    fn poll_said(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, saying)) = &mut self.saying else { return Poll::Ready(()) };
        let Poll::Ready(said) = saying.poll_unpin(context) else { return Poll::Pending };
        if let Some((id, _)) = self.saying.take() {
            self.said(id, said);
        }
        Poll::Ready(())
    }

    fn said(&mut self, id: String, said: Result<Position>) {
        match said {
            Ok(position) => self.taken.push_back((position, id)),
            Err(error) => self.reject(&id, &error),
        }
    }

    fn reject(&mut self, id: &str, error: &Error) {
        let too_long = id.len() > crate::model::MAX_MESSAGE_ID_BYTES;
        let rejected = v1::Rejected {
            client_message_id: if too_long { String::new() } else { id.to_owned() },
            reason: error.reason().as_str().to_owned(),
            retry_after: error.retry_wait().map(pb::duration),
            message: error.message().to_owned(),
        };
        self.out.extend(self.about(Event::Rejected(rejected)));
    }

    /// Acknowledges the next message whose position the stream has reached.
    fn acknowledge(&mut self) -> Option<Framed> {
        let place = self.conversation.as_ref()?.membership.position();
        let (taken, _) = self.taken.front()?;
        // In a room of another generation the position is never reached.
        if taken.epoch == place.epoch && taken.sequence > place.sequence {
            return None;
        }
        let (taken, client_message_id) = self.taken.pop_front()?;
        let position = if taken.epoch == place.epoch { taken } else { place };
        let ack = Event::Ack(v1::Ack { client_message_id });
        Some(Framed::new(&v1::ChatResponse { position: Some(position.into()), event: Some(ack) }))
    }

    fn encoded(&self, next: FeedItem<ChatEvent>) -> Option<Framed> {
        let FeedItem::Event(event) = next else { return self.about(Event::Gap(v1::Gap {})) };
        let position = self.conversation.as_ref()?.membership.position();
        let at = |sequence| Position { sequence, ..position };
        let encode = |event: &crate::service::Event<ChatEvent>| {
            Framed::new(&pb::room_event(at(event.sequence), &event.body)).0
        };
        Some(Framed(event.encoded(encode).clone()))
    }

    /// Returns the next message to send: answers of this stream's own before any more events.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Framed> {
        if let Some(message) = self.out.pop_front().or_else(|| self.acknowledge()) {
            return Poll::Ready(message);
        }
        let Some(conversation) = &mut self.conversation else { return Poll::Pending };
        let Poll::Ready(next) = conversation.membership.poll_next(context) else {
            return Poll::Pending;
        };
        self.encoded(next).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Source for RoomSource {
    fn poll_next(&mut self, context: &mut Context<'_>, _call: &Call) -> Poll<StreamItem> {
        if self.conversation.is_none() {
            match self.poll_join(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(outcome)) => return Poll::Ready(outcome),
                Poll::Ready(Ok(())) => {}
            }
        }
        if let Err(outcome) = self.take_requests(context) {
            return Poll::Ready(outcome);
        }
        if let Poll::Ready(message) = self.poll_message(context) {
            return Poll::Ready(StreamItem::Message(message));
        }
        let waiting = self.held.is_some() || self.saying.is_some() || !self.taken.is_empty();
        let over = self.ends && self.requests.is_none() && !waiting;
        if over { Poll::Ready(StreamItem::End) } else { Poll::Pending }
    }

    fn heartbeat(&self) -> Option<Framed> {
        self.about(Event::Heartbeat(v1::Heartbeat {}))
    }

    fn closing(&self, reason: Reason) -> Option<Framed> {
        self.about(Event::Closing(v1::Closing { reason: reason.as_str().to_owned() }))
    }

    fn needs_checks(&self) -> bool {
        false
    }

    fn check(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}
