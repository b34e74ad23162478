//! Pipeline: batches, one after another.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream as _;
use futures_util::future::BoxFuture;
use tonic::{Request, Response, Status, Streaming};

use super::events::{Events, Source, StreamItem};
use super::guard::Guarded;
use crate::grpc::call::Call;
use crate::model::request::{self, Batch};
use crate::model::{Batched, Error, Reason, Result};
use crate::pb::{self, Framed, PipelineCall, v1};
use crate::service::StreamGuard;

/// The stream of Pipeline.
pub(in crate::grpc) type PipelineStream = Guarded<Events<PipelineSource>>;

/// Answers Pipeline.
pub(in crate::grpc) async fn pipeline(
    call: &Arc<Call>,
    request: Request<Streaming<PipelineCall>>,
) -> std::result::Result<Response<PipelineStream>, Status> {
    let guard = call.execute(request::Pipeline).await.map_err(|error| call.fail(&error))?;
    let source = PipelineSource {
        call: Arc::clone(call),
        requests: request.into_inner(),
        running: None,
        _guard: guard,
    };
    let events = Events::new(Arc::clone(call), source);
    Ok(Response::new(Guarded::new(events, Arc::clone(call))))
}

type Running = BoxFuture<'static, Result<Batched>>;

/// The batches of one stream.
pub(in crate::grpc) struct PipelineSource {
    call: Arc<Call>,
    requests: Streaming<PipelineCall>,
    /// A batch that waits for the store, with its number.
    running: Option<(u64, Running)>,
    _guard: StreamGuard,
}

impl PipelineSource {
    /// Begins a batch. Most are done at the first poll.
    fn begin(&self, batch: Result<Batch>) -> Running {
        let call = Arc::clone(&self.call);
        Box::pin(async move { call.execute(batch?).await })
    }
}

/// Returns true if no batch behind one that failed so can succeed.
fn ends_the_stream(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::SessionExpired | Reason::SessionRequired | Reason::Draining | Reason::Internal
    )
}

fn answer(id: u64, done: Result<Batched>) -> StreamItem {
    match done {
        Ok(batched) => StreamItem::Message(pb::pipeline_answer(id, &batched)),
        Err(error) if ends_the_stream(&error) => StreamItem::Failed(error),
        Err(error) => StreamItem::Message(rejected(id, &error)),
    }
}

fn rejected(id: u64, error: &Error) -> Framed {
    let rejected = v1::RejectedBatch {
        reason: error.reason().as_str().to_owned(),
        retry_after: error.retry_wait().map(pb::duration),
        message: error.message().to_owned(),
    };
    Framed::new(&v1::PipelineResponse { id, rejected: Some(rejected), ..Default::default() })
}

impl Source for PipelineSource {
    fn poll_next(&mut self, context: &mut Context<'_>, _call: &Call) -> Poll<StreamItem> {
        loop {
            if let Some((id, running)) = &mut self.running {
                let Poll::Ready(done) = running.as_mut().poll(context) else {
                    return Poll::Pending;
                };
                let id = *id;
                self.running = None;
                return Poll::Ready(answer(id, done));
            }
            let Poll::Ready(request) = Pin::new(&mut self.requests).poll_next(context) else {
                return Poll::Pending;
            };
            match request {
                Some(Ok(PipelineCall { id, batch })) => {
                    self.running = Some((id, self.begin(batch)));
                }
                Some(Err(status)) => return Poll::Ready(StreamItem::Refused(status)),
                None => return Poll::Ready(StreamItem::End),
            }
        }
    }

    fn heartbeat(&self) -> Option<Framed> {
        None
    }

    fn closing(&self, _reason: Reason) -> Option<Framed> {
        None
    }

    fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    fn needs_checks(&self) -> bool {
        false
    }

    fn check(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}
