//! Pipeline: batches, one after another.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures_util::Stream as _;
use futures_util::future::BoxFuture;
use prost::Message as _;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Status, Streaming};

use super::events::{Outcome, Source};
use super::frame::{Batch, frame, put_prefix};
use crate::grpc::call::Call;
use crate::grpc::native;
use crate::model::{Command, Error, Reason, Reply, Result};
use crate::pb::{self, v1, wire};
use crate::service::StreamGuard;

/// A batch as it came: its number in the stream, and what is to be done.
pub(super) type Asked = (u64, Result<Command>);

/// Reads the batches of a stream.
pub(super) struct Batches;

impl Decoder for Batches {
    type Item = Asked;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Asked>, Status> {
        let message = from.copy_to_bytes(from.remaining());
        if let Ok(asked) = wire::read_pipeline(&message) {
            return Ok(Some(asked));
        }
        let request = v1::PipelineRequest::decode(message)
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some((request.id, Command::try_from(request))))
    }
}

/// The batches of one stream.
pub(super) struct Pipeline {
    call: Arc<Call>,
    requests: Streaming<Asked>,
    /// The number of a batch that waits for the store.
    running: Option<(u64, BoxFuture<'static, Result<Reply>>)>,
    /// How the stream ends, once the answers before it have gone out.
    end: Option<Outcome>,
    _guard: Option<StreamGuard>,
}

impl Pipeline {
    pub(super) fn new(call: Arc<Call>, requests: Streaming<Asked>) -> Self {
        let session = call.caller.session.clone();
        let guard =
            session.map(|session| StreamGuard::new(session, call.service().clock().clone()));
        Self { call, requests, running: None, end: None, _guard: guard }
    }

    /// Adds the next answer; `None`: there is none any more, and `end` tells why.
    fn poll_answer(&mut self, context: &mut Context<'_>, answers: &mut Batch) -> Poll<Option<()>> {
        let Poll::Ready(next) = self.poll_done(context) else { return Poll::Pending };
        let Some((id, done)) = next else { return Poll::Ready(None) };
        match done {
            Ok(Reply::Batch { outcomes, revision, durability }) => {
                let answer = wire::Answer { outcomes: &outcomes, revision, durability };
                wire::write_pipeline(id, answer, answers.room(), put_prefix);
            }
            Ok(other) => self.end = Some(Outcome::Failed(pb::mismatch(&other))),
            Err(error) if ends_the_stream(&error) => self.end = Some(Outcome::Failed(error)),
            Err(error) => answers.push(rejected(id, &error)),
        }
        Poll::Ready(self.end.is_none().then_some(()))
    }

    /// The next batch that is done, with its number.
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Option<(u64, Result<Reply>)>> {
        loop {
            if let Some((id, running)) = &mut self.running {
                let Poll::Ready(done) = running.as_mut().poll(context) else {
                    return Poll::Pending;
                };
                let id = *id;
                self.running = None;
                return Poll::Ready(Some((id, done)));
            }
            let Poll::Ready(request) = Pin::new(&mut self.requests).poll_next(context) else {
                return Poll::Pending;
            };
            match request {
                Some(Ok((id, command))) => {
                    if let Some(done) = self.begin(id, command) {
                        return Poll::Ready(Some((id, done)));
                    }
                }
                Some(Err(status)) => {
                    self.end = Some(match native::unreadable(&status) {
                        Some(error) => Outcome::Failed(error),
                        None => Outcome::Refused(status),
                    });
                    return Poll::Ready(None);
                }
                None => {
                    self.end = Some(Outcome::End);
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Does a batch, or has it wait for the store and gives `None`.
    fn begin(&mut self, id: u64, command: Result<Command>) -> Option<Result<Reply>> {
        let command = match command {
            Ok(command) => command,
            Err(error) => return Some(Err(error)),
        };
        if self.call.service().answers_at_once() {
            return Some(self.call.service().execute_at_once(&self.call.caller, command));
        }
        let call = Arc::clone(&self.call);
        self.running = Some((id, Box::pin(async move { call.execute(command).await })));
        None
    }
}

/// Whether there is no use in the batches behind one that failed so.
fn ends_the_stream(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::SessionExpired | Reason::SessionRequired | Reason::Draining | Reason::Internal
    )
}

fn rejected(id: u64, error: &Error) -> Bytes {
    let rejected = v1::RejectedBatch {
        reason: error.reason().as_str().to_owned(),
        retry_after: error.retry_wait().map(pb::duration),
        message: error.message().to_owned(),
    };
    frame(&v1::PipelineResponse { id, rejected: Some(rejected), ..Default::default() })
}

impl Source for Pipeline {
    fn poll_next(&mut self, context: &mut Context<'_>, _call: &Call) -> Poll<Outcome> {
        let mut answers = Batch::default();
        while self.end.is_none() && !answers.is_full() {
            match self.poll_answer(context, &mut answers) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match answers.finish() {
            Some(answers) => Poll::Ready(Outcome::Messages(answers)),
            None => self.end.take().map_or(Poll::Pending, Poll::Ready),
        }
    }

    fn heartbeat(&self) -> Option<Bytes> {
        None
    }

    fn closing(&self, _reason: Reason) -> Option<Bytes> {
        None
    }

    fn has_to_be_checked(&self) -> bool {
        false
    }

    fn check(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}
