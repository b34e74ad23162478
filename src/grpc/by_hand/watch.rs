//! Watch: the changes of a store.

use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::{Request, Response, Status};

use super::events::{Events, Source, StreamItem};
use super::guard::Guarded;
use crate::grpc::call::Call;
use crate::model::{Position, Reason, Result, request};
use crate::pb::v1::{self, watch_response::Event};
use crate::pb::{self, Framed};
use crate::service::{Change, FeedItem, Watching};

/// The stream of Watch.
pub(in crate::grpc) type WatchStream = Guarded<Events<WatchSource>>;

/// Answers Watch.
pub(in crate::grpc) async fn watch(
    call: &Arc<Call>,
    request: Request<v1::WatchRequest>,
) -> std::result::Result<Response<WatchStream>, Status> {
    let opening = async {
        let command = request::Watch::try_from(request.into_inner())?;
        call.execute(command).await
    };
    let watching = opening.await.map_err(|error| call.fail(&error))?;
    let events = Events::new(Arc::clone(call), WatchSource { watching, begun: false });
    Ok(Response::new(Guarded::new(events, Arc::clone(call))))
}

/// The changes, behind a first message that tells the position.
pub(in crate::grpc) struct WatchSource {
    watching: Watching,
    /// True once the first message has gone out.
    begun: bool,
}

impl WatchSource {
    /// Encodes an event of this stream alone.
    fn own(&self, event: Event) -> Framed {
        let position = Some(self.watching.position().into());
        Framed::new(&v1::WatchResponse { position, event: Some(event) })
    }

    fn encoded(&self, next: FeedItem<Change>) -> Framed {
        let FeedItem::Event(event) = next else { return self.own(Event::Gap(v1::Gap {})) };
        let epoch = self.watching.position().epoch;
        let position = |sequence| Position { epoch, sequence };
        let encode = |event: &crate::service::Event<Change>| {
            Framed::new(&pb::change(position(event.sequence), &event.body)).0
        };
        Framed(event.encoded(encode).clone())
    }

    fn first(&self) -> Framed {
        let gap = self.watching.gap;
        self.own(if gap { Event::Gap(v1::Gap {}) } else { Event::Heartbeat(v1::Heartbeat {}) })
    }
}

impl Source for WatchSource {
    fn poll_next(&mut self, context: &mut Context<'_>, _call: &Call) -> Poll<StreamItem> {
        if !self.begun {
            self.begun = true;
            return Poll::Ready(StreamItem::Message(self.first()));
        }
        let next = self.watching.poll_next(context);
        next.map(|next| StreamItem::Message(self.encoded(next)))
    }

    fn heartbeat(&self) -> Option<Framed> {
        Some(self.own(Event::Heartbeat(v1::Heartbeat {})))
    }

    fn closing(&self, reason: Reason) -> Option<Framed> {
        Some(self.own(Event::Closing(v1::Closing { reason: reason.as_str().to_owned() })))
    }

    fn needs_checks(&self) -> bool {
        self.watching.is_of_another()
    }

    fn check(&self, call: &Call) -> Result<()> {
        call.service().may_go_on(&call.caller, &self.watching)
    }
}
