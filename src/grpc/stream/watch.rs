//! Watch: the changes of a store.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::events::{Outcome, Source};
use super::frame::{Batch, frame};
use crate::grpc::call::Call;
use crate::model::{Position, Reason, Result};
use crate::pb;
use crate::pb::v1::{self, watch_response::Event};
use crate::service::{Change, Next, Watching};

/// The changes, from the first word on.
pub(super) struct Watch {
    watching: Watching,
    /// Whether the first response has gone out.
    begun: bool,
}

impl Watch {
    pub(super) fn new(watching: Watching) -> Self {
        Self { watching, begun: false }
    }

    fn about(&self, event: Event) -> Bytes {
        frame(&v1::WatchResponse {
            position: Some(self.watching.position().into()),
            event: Some(event),
        })
    }

    fn encoded(&self, next: Next<Change>) -> Bytes {
        let Next::Event(event) = next else { return self.about(Event::Gap(v1::Gap {})) };
        let epoch = self.watching.position().epoch;
        let position = |sequence| Position { epoch, sequence };
        event.encoded(|event| frame(&pb::change(position(event.sequence), &event.body))).clone()
    }

    fn first(&self) -> Bytes {
        self.about(if self.watching.gap {
            Event::Gap(v1::Gap {})
        } else {
            Event::Heartbeat(v1::Heartbeat {})
        })
    }
}

impl Source for Watch {
    fn poll_next(&mut self, context: &mut Context<'_>, _call: &Call) -> Poll<Outcome> {
        if !self.begun {
            self.begun = true;
            return Poll::Ready(Outcome::Messages(self.first()));
        }
        let Poll::Ready(first) = self.watching.poll_next(context) else { return Poll::Pending };
        let mut batch = Batch::default();
        let mut next = Some(first);
        while let Some(event) = next {
            batch.push(self.encoded(event));
            next = if batch.is_full() { None } else { self.watching.try_next() };
        }
        batch.finish().map_or(Poll::Pending, |bytes| Poll::Ready(Outcome::Messages(bytes)))
    }

    fn heartbeat(&self) -> Option<Bytes> {
        Some(self.about(Event::Heartbeat(v1::Heartbeat {})))
    }

    fn closing(&self, reason: Reason) -> Option<Bytes> {
        Some(self.about(Event::Closing(v1::Closing { reason: reason.as_str().to_owned() })))
    }

    fn has_to_be_checked(&self) -> bool {
        self.watching.is_of_another()
    }

    fn check(&self, call: &Call) -> Result<()> {
        call.service().may_go_on(&call.caller, &self.watching)
    }
}
