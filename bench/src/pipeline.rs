//! A Pipeline stream that the callers of a connection share, each with one batch in flight. The
//! answers arrive in the order of the requests.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::caller::wrong;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::users::User;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::{Operation, OperationResult, PipelineRequest, PipelineResponse};

/// An open stream.
#[derive(Clone)]
pub(crate) struct Pipe(Arc<Mutex<Sending>>);

struct Sending {
    requests: mpsc::Sender<PipelineRequest>,
    waiting: Arc<Mutex<Waiting>>,
    next: u64,
}

/// Callers that wait for an answer, in the order of their requests.
#[derive(Default)]
struct Waiting {
    callers: VecDeque<oneshot::Sender<PipelineResponse>>,
    /// Reason why the stream has ended.
    ended: Option<Failure>,
}

impl Pipe {
    /// Opens a stream for a number of callers.
    pub(crate) async fn open(
        mut service: KeyValueServiceClient<Channel>,
        user: &User,
        callers: usize,
        client: &Arc<Client>,
    ) -> Result<Self> {
        let (requests, queue) = mpsc::channel(callers.max(1));
        let responses =
            client.call(service.pipeline(user.request(ReceiverStream::new(queue)))).await?;
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        tokio::spawn(read(responses, Arc::clone(&waiting), Arc::clone(client)));
        Ok(Self(Arc::new(Mutex::new(Sending { requests, waiting, next: 0 }))))
    }

    /// Sends a batch, and waits for its results.
    pub(crate) async fn batch(&self, operations: Vec<Operation>) -> Result<Vec<OperationResult>> {
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
        // The channel has room for one request of each caller.
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

/// Hands the answers to their callers.
async fn read(
    mut responses: Streaming<PipelineResponse>,
    waiting: Arc<Mutex<Waiting>>,
    client: Arc<Client>,
) {
    let ended = loop {
        match responses.message().await {
            Ok(Some(response)) => {
                let caller = waiting.lock().callers.pop_front();
                match caller {
                    // A caller that timed out needs no answer.
                    Some(caller) => drop(caller.send(response)),
                    None => break Failure::failed("an answer came to no request"),
                }
            }
            Ok(None) => break over(),
            Err(status) => break client.explain(&status),
        }
    };
    let mut waiting = waiting.lock();
    waiting.ended = Some(ended);
    waiting.callers.clear();
}
