//! One Pipeline stream of a connection, on which several callers have a batch on its way each: the
//! answers come in the order of the requests.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::lane::wrong;
use super::people::Person;
use crate::client::args::Settings;
use crate::client::explain::explain;
use crate::client::failure::{Failure, Result};
use crate::pb::v1::key_value_service_client::KeyValueServiceClient;
use crate::pb::v1::{Operation, OperationResult, PipelineRequest, PipelineResponse};

/// An open stream.
#[derive(Clone)]
pub(super) struct Pipe(Arc<Mutex<Sending>>);

struct Sending {
    requests: mpsc::Sender<PipelineRequest>,
    waiting: Arc<Mutex<Waiting>>,
    next: u64,
}

/// Who waits for the answers to come, the first one first.
#[derive(Default)]
struct Waiting {
    callers: VecDeque<oneshot::Sender<PipelineResponse>>,
    /// Why there are no more answers.
    ended: Option<Failure>,
}

impl Pipe {
    /// Opens a stream for so many callers.
    pub(super) async fn open(
        channel: Channel,
        caller: &Person,
        callers: usize,
        settings: &Arc<Settings>,
    ) -> Result<Self> {
        let (requests, queue) = mpsc::channel(callers.max(1));
        let opened = KeyValueServiceClient::new(channel)
            .pipeline(caller.request(ReceiverStream::new(queue)))
            .await;
        let responses = match opened {
            Ok(responses) => responses.into_inner(),
            Err(status) => return Err(explain(&status, settings).await),
        };
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        tokio::spawn(read(responses, Arc::clone(&waiting), Arc::clone(settings)));
        Ok(Self(Arc::new(Mutex::new(Sending { requests, waiting, next: 0 }))))
    }

    /// Sends a batch, and waits for its results.
    pub(super) async fn batch(&self, operations: Vec<Operation>) -> Result<Vec<OperationResult>> {
        let (id, answer) = self.send(operations)?;
        let Ok(response) = answer.await else { return Err(self.ended()) };
        if response.id != id {
            return Err(wrong(
                "Pipeline, in ids",
                response.id.to_string().as_bytes(),
                id.to_string().as_bytes(),
            ));
        }
        match response.rejected {
            Some(rejected) => {
                Err(Failure::failed(format!("a batch was rejected: {}", rejected.message)))
            }
            None => Ok(response.results),
        }
    }

    fn send(
        &self,
        operations: Vec<Operation>,
    ) -> Result<(u64, oneshot::Receiver<PipelineResponse>)> {
        let (answer, answered) = oneshot::channel();
        let mut sending = self.0.lock();
        let id = sending.next;
        sending.next += 1;
        sending.waiting.lock().callers.push_back(answer);
        // There is room for one request of each caller.
        match sending.requests.try_send(PipelineRequest {
            id,
            operations,
            request_id: String::new(),
        }) {
            Ok(()) => Ok((id, answered)),
            Err(_) => Err(sending.waiting.lock().ended.clone().unwrap_or_else(over)),
        }
    }

    fn ended(&self) -> Failure {
        self.0.lock().waiting.lock().ended.clone().unwrap_or_else(over)
    }
}

fn over() -> Failure {
    Failure::failed("the server ended the stream")
}

/// Hands the answers out.
async fn read(
    mut responses: Streaming<PipelineResponse>,
    waiting: Arc<Mutex<Waiting>>,
    settings: Arc<Settings>,
) {
    let ended = loop {
        match responses.message().await {
            Ok(Some(response)) => {
                let caller = waiting.lock().callers.pop_front();
                match caller {
                    // A caller that gave up needs no answer.
                    Some(caller) => drop(caller.send(response)),
                    None => break Failure::failed("an answer came to no request"),
                }
            }
            Ok(None) => break over(),
            Err(status) => break explain(&status, &settings).await,
        }
    };
    let mut waiting = waiting.lock();
    waiting.ended = Some(ended);
    waiting.callers.clear();
}
