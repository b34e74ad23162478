//! A stream of events: those of its source, heartbeats, and the reason of its end.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use crate::grpc::call::Call;
use crate::grpc::{deadline, guard};
use crate::model::{Error, Reason, Result};
use crate::pb::Framed;

/// Interval at which a stream checks that its caller still has the role that it needs.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Number of messages after which a stream that always has more looks at its timers and signals.
const MESSAGES_AT_ONCE: u16 = 256;

/// The source of a stream's events.
pub(in crate::grpc) trait Source: Send + Unpin + 'static {
    /// Returns the next message.
    fn poll_next(&mut self, context: &mut Context<'_>, call: &Call) -> Poll<StreamItem>;

    /// Returns a heartbeat, if the stream has begun and sends any.
    fn heartbeat(&self) -> Option<Framed>;

    /// Returns the message that tells why the stream ends, if it has begun and tells that.
    fn closing(&self, reason: Reason) -> Option<Framed>;

    /// Returns true while a stream that is to end has something to finish first.
    fn is_busy(&self) -> bool {
        false
    }

    /// Returns true if [`check`](Self::check) may fail at a later time.
    fn needs_checks(&self) -> bool;

    /// Checks that the caller may go on.
    ///
    /// # Errors
    /// The reason why it may not.
    fn check(&self, call: &Call) -> Result<()>;
}

/// The outcome of polling a source.
pub(in crate::grpc) enum StreamItem {
    Message(Framed),
    /// The end, without a fault.
    End,
    Failed(Error),
    /// A request could not be read, as tonic says.
    Refused(Status),
}

/// A stream of events, for one call.
pub(in crate::grpc) struct Events<S> {
    call: Arc<Call>,
    source: S,
    /// Ready when the connection or the server wants the stream to end.
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Ready when the session has ended.
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    timer: Pin<Box<Sleep>>,
    next_heartbeat: Instant,
    next_check: Option<Instant>,
    /// Messages since the signals were looked at.
    messages: u16,
    /// The task that the signals wake.
    task: Option<Waker>,
    /// True if the stream ends as soon as its source is not busy.
    ends: bool,
    phase: Phase,
}

enum Phase {
    Open,
    /// The status is all that is left to send.
    Ending(Status),
    Done,
}

impl<S: Source> Events<S> {
    pub(super) fn new(call: Arc<Call>, source: S) -> Self {
        let now = Instant::now();
        let next_heartbeat = now + call.service().limits().heartbeat;
        let next_check = source.needs_checks().then(|| now + CHECK_INTERVAL);
        let closing = Box::pin(call.closing().cancelled_owned());
        let ended = call
            .caller
            .session
            .as_ref()
            .map(|session| Box::pin(session.end_signal().cancelled_owned()));
        let mut this = Self {
            call,
            source,
            closing,
            ended,
            timer: Box::pin(sleep_until(now)),
            next_heartbeat,
            next_check,
            messages: 0,
            task: None,
            ends: false,
            phase: Phase::Open,
        };
        this.set_timer();
        this
    }

    fn set_timer(&mut self) {
        let ends =
            [Some(self.next_heartbeat), self.next_check, self.call.end.map(Instant::from_std)];
        if let Some(first) = ends.into_iter().flatten().min() {
            self.timer.as_mut().reset(first);
        }
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<StreamItem> {
        // Checked at each turn: a session that has ended is told nothing more.
        if let Err(error) = self.call.caller.session() {
            return Poll::Ready(StreamItem::Failed(error));
        }
        if self.ends && !self.source.is_busy() {
            return Poll::Ready(StreamItem::Failed(self.call.closed()));
        }
        if self.messages < MESSAGES_AT_ONCE {
            if let Poll::Ready(outcome) = self.source.poll_next(context, &self.call) {
                self.messages += 1;
                return Poll::Ready(outcome);
            }
            self.messages = 0;
            // Most turns are due to an event or to HTTP/2 flow control. The signals are not
            // involved, and wait for this task already.
            return if self.is_undisturbed(context) {
                Poll::Pending
            } else {
                self.poll_signals(context)
            };
        }
        self.messages = 0;
        match self.poll_signals(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => self.source.poll_next(context, &self.call),
        }
    }

    /// Returns true if the signals would wake this task, and none of them has fired. The end of the
    /// session is checked at each turn.
    fn is_undisturbed(&self, context: &Context<'_>) -> bool {
        self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()))
            && (self.ends || !self.call.closing().is_cancelled())
            && !self.timer.is_elapsed()
    }

    fn poll_signals(&mut self, context: &mut Context<'_>) -> Poll<StreamItem> {
        self.task = Some(context.waker().clone());
        if !self.ends && self.closing.as_mut().poll(context).is_ready() {
            if !self.source.is_busy() {
                return Poll::Ready(StreamItem::Failed(self.call.closed()));
            }
            self.ends = true;
        }
        if let Some(ended) = &mut self.ended
            && ended.as_mut().poll(context).is_ready()
        {
            // The next turn finds that the session has ended.
            self.ended = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.call.end.is_some_and(|end| Instant::from_std(end) <= now) {
                return Poll::Ready(StreamItem::Failed(deadline::exceeded()));
            }
            if self.next_check.is_some_and(|check| check <= now) {
                if let Err(error) = self.source.check(&self.call) {
                    return Poll::Ready(StreamItem::Failed(error));
                }
                self.next_check = Some(now + CHECK_INTERVAL);
            }
            let due = self.next_heartbeat <= now;
            if due {
                self.next_heartbeat = now + self.call.service().limits().heartbeat;
            }
            self.set_timer();
            if due && let Some(heartbeat) = self.source.heartbeat() {
                return Poll::Ready(StreamItem::Message(heartbeat));
            }
        }
        Poll::Pending
    }
}

impl<S: Source> Stream for Events<S> {
    type Item = std::result::Result<Framed, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match std::mem::replace(&mut this.phase, Phase::Done) {
            Phase::Done => return Poll::Ready(None),
            Phase::Ending(status) => return Poll::Ready(Some(Err(status))),
            Phase::Open => {}
        }
        let Poll::Ready(outcome) = this.poll_open(context) else {
            this.phase = Phase::Open;
            return Poll::Pending;
        };
        match outcome {
            StreamItem::Message(message) => {
                this.phase = Phase::Open;
                Poll::Ready(Some(Ok(message)))
            }
            StreamItem::End => Poll::Ready(None),
            StreamItem::Refused(status) => {
                Poll::Ready(Some(Err(match guard::unreadable(&status) {
                    Some(error) => this.call.fail(&error),
                    None => status,
                })))
            }
            StreamItem::Failed(error) => {
                let status = this.call.fail(&error);
                let Some(closing) = this.source.closing(error.reason()) else {
                    return Poll::Ready(Some(Err(status)));
                };
                this.phase = Phase::Ending(status);
                Poll::Ready(Some(Ok(closing)))
            }
        }
    }
}
