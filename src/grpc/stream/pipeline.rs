//! Pipeline: batches, one after another.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream as _;
use futures_util::future::BoxFuture;
use tonic::Streaming;

use super::events::{Outcome, Source};
use super::frame::{Batch, frame};
use crate::grpc::call::Call;
use crate::grpc::native;
use crate::model::{Command, Error, Reason, Reply, Result};
use crate::pb;
use crate::pb::v1;
use crate::service::StreamGuard;

/// The batches of one stream.
pub(super) struct Pipeline {
    call: Arc<Call>,
    requests: Streaming<v1::PipelineRequest>,
    /// The number of a batch that waits for the store.
    running: Option<(u64, BoxFuture<'static, Result<Reply>>)>,
    /// How the stream ends, once the answers before it have gone out.
    end: Option<Outcome>,
    _guard: Option<StreamGuard>,
}

impl Pipeline {
    pub(super) fn new(call: Arc<Call>, requests: Streaming<v1::PipelineRequest>) -> Self {
        let session = call.caller.session.clone();
        let guard = session.map(|session| StreamGuard::new(session, call.service().clock().clone()));
        Self { call, requests, running: None, end: None, _guard: guard }
    }

    /// The next answer; `None`: there is none any more, and `end` tells why.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (id, done) = match &mut self.running {
            Some((id, running)) => {
                let Poll::Ready(done) = running.as_mut().poll(context) else { return Poll::Pending };
                let id = *id;
                self.running = None;
                (id, done)
            }
            None => {
                let Poll::Ready(request) = Pin::new(&mut self.requests).poll_next(context) else {
                    return Poll::Pending;
                };
                match request {
                    Some(Ok(request)) => {
                        let id = request.id;
                        match self.begin(request) {
                            Some(done) => (id, done),
                            None => return self.poll_answer(context),
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
        };
        match done.and_then(v1::PipelineResponse::try_from) {
            Ok(response) => Poll::Ready(Some(frame(&v1::PipelineResponse { id, ..response }))),
            Err(error) if ends_the_stream(&error) => {
                self.end = Some(Outcome::Failed(error));
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(rejected(id, &error))),
        }
    }

    /// Does a batch, or has it wait for the store and gives `None`.
    fn begin(&mut self, request: v1::PipelineRequest) -> Option<Result<Reply>> {
        let id = request.id;
        let command = match Command::try_from(request) {
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
    matches!(error.reason(), Reason::SessionExpired | Reason::SessionRequired | Reason::Draining | Reason::Internal)
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
            match self.poll_answer(context) {
                Poll::Ready(Some(answer)) => answers.push(answer),
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
