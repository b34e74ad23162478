//! The body of a stream of events: what its source has to say, heartbeats, and the reason of its
//! end.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use crate::grpc::body::trailers;
use crate::grpc::call::{Call, draining};
use crate::grpc::deadline;
use crate::model::{Error, Reason, Result};

/// How often a stream looks whether its caller still has the role that it needs.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// After so many batches of events, a stream that always has more looks at the time, and whether it
/// is to end.
const BATCHES_AT_ONCE: u8 = 16;

/// Where a stream's events come from.
pub(super) trait Source: Send + Unpin + 'static {
    /// The next messages, framed; `None`: there will be no more.
    fn poll_next(&mut self, context: &mut Context<'_>, call: &Call) -> Poll<Outcome>;

    /// A heartbeat, if it has begun.
    fn heartbeat(&self) -> Option<Bytes>;

    /// Tells why the stream ends, if it has begun.
    fn closing(&self, reason: Reason) -> Option<Bytes>;

    /// Whether [`check`](Self::check) has to be asked from time to time.
    fn has_to_be_checked(&self) -> bool;

    /// Whether the caller may go on.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, call: &Call) -> Result<()>;
}

/// What a source gives.
pub(super) enum Outcome {
    /// Messages, framed.
    Messages(Bytes),
    /// There will be no more.
    End,
    /// It failed.
    Failed(Error),
    /// A request could not be read, as tonic says.
    Refused(Status),
}

/// A stream's body.
pub(super) struct Events<S> {
    call: Arc<Call>,
    source: S,
    /// The connection or the server wants it to end.
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The session ended.
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    timer: Pin<Box<Sleep>>,
    next_heartbeat: Instant,
    next_check: Option<Instant>,
    batches: u8,
    /// The task that the signals wake.
    task: Option<Waker>,
    state: State,
}

enum State {
    Open,
    /// All was said but the status.
    Ending(Status),
    Done,
}

impl<S: Source> Events<S> {
    pub(super) fn new(call: Arc<Call>, source: S) -> Self {
        let now = Instant::now();
        let next_heartbeat = now + call.service().limits().heartbeat;
        let next_check = source.has_to_be_checked().then(|| now + CHECK_INTERVAL);
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
            batches: 0,
            task: None,
            state: State::Open,
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

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        // At each turn: nothing is told to a session that has ended.
        if let Err(error) = self.call.caller.session() {
            return Poll::Ready(Outcome::Failed(error));
        }
        if self.batches < BATCHES_AT_ONCE {
            if let Poll::Ready(outcome) = self.source.poll_next(context, &self.call) {
                self.batches += 1;
                return Poll::Ready(outcome);
            }
            self.batches = 0;
            // Most turns come of an event or of HTTP/2's flow control, and have nothing to do with
            // the signals, which wait for this task already.
            return if self.is_undisturbed(context) {
                Poll::Pending
            } else {
                self.poll_signals(context)
            };
        }
        self.batches = 0;
        match self.poll_signals(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => self.source.poll_next(context, &self.call),
        }
    }

    /// Whether the signals would wake this task, and none of them has by now. That the session has
    /// ended is looked at in each turn.
    fn is_undisturbed(&self, context: &Context<'_>) -> bool {
        self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()))
            && !self.call.closing().is_cancelled()
            && !self.timer.is_elapsed()
    }

    fn poll_signals(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.task = Some(context.waker().clone());
        if self.closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Outcome::Failed(draining()));
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
                return Poll::Ready(Outcome::Failed(deadline::exceeded()));
            }
            if self.next_check.is_some_and(|check| check <= now) {
                if let Err(error) = self.source.check(&self.call) {
                    return Poll::Ready(Outcome::Failed(error));
                }
                self.next_check = Some(now + CHECK_INTERVAL);
            }
            let due = self.next_heartbeat <= now;
            if due {
                self.next_heartbeat = now + self.call.service().limits().heartbeat;
            }
            self.set_timer();
            if due && let Some(heartbeat) = self.source.heartbeat() {
                return Poll::Ready(Outcome::Messages(heartbeat));
            }
        }
        Poll::Pending
    }
}

impl<S: Source> HttpBody for Events<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            match std::mem::replace(&mut this.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Ending(status) => return Poll::Ready(Some(trailers(&status))),
                State::Open => {}
            }
            let Poll::Ready(outcome) = this.poll_open(context) else {
                this.state = State::Open;
                return Poll::Pending;
            };
            match outcome {
                Outcome::Messages(bytes) => {
                    this.state = State::Open;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Outcome::End => this.state = State::Ending(Status::ok("")),
                Outcome::Refused(status) => this.state = State::Ending(status),
                Outcome::Failed(error) => {
                    this.state = State::Ending(this.call.fail(&error));
                    if let Some(bytes) = this.source.closing(error.reason()) {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
    }
}
