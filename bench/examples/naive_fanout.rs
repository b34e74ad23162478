//! The naive fan-out: tonic's stock server on a multi-thread runtime, a broadcast channel, and each
//! event cloned and encoded for every subscriber.
//!
//! `cargo run --release -p kvrpc-bench --example naive_fanout` prints its address. `fanout`
//! measures kvrpc-server against it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use kvrpc::pb::v1::subscribe_response::Event;
use kvrpc::pb::v1::{
    Message, Position, Role, SendRequest, SendResponse, SubscribeRequest, SubscribeResponse, User,
    Welcome,
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

/// tonic's stock servers of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod stock {
    tonic::include_proto!("kvrpc.v1");
}
use stock::chat_service_server::{ChatService, ChatServiceServer};

/// As in kvrpc-server, so that the allocator makes no difference.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as a room of kvrpc keeps.
const CAPACITY: usize = 1_000;

struct Naive {
    events: broadcast::Sender<SubscribeResponse>,
    sequence: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl ChatService for Naive {
    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<BoxStream<SubscribeResponse>>, Status> {
        let welcome =
            SubscribeResponse { position: None, event: Some(Event::Welcome(Welcome::default())) };
        let events = BroadcastStream::new(self.events.subscribe());
        let events = events.map(|event| event.map_err(|_| Status::data_loss("too slow")));
        let first = futures_util::stream::once(std::future::ready(Ok(welcome)));
        Ok(Response::new(Box::pin(first.chain(events))))
    }

    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let position = Some(Position { epoch: 1, sequence });
        let user = Some(User { name: "bench".to_owned(), role: Role::Guest.into() });
        let send_time = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 1 });
        let message = Message { user, text: request.into_inner().text, send_time };
        // Without a subscriber nobody hears it.
        let _ =
            self.events.send(SubscribeResponse { position, event: Some(Event::Message(message)) });
        Ok(Response::new(SendResponse { position }))
    }
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the address is what this prints")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let service = Naive { events: broadcast::channel(CAPACITY).0, sequence: Arc::default() };
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let incoming = incoming.inspect(|stream| {
        if let Ok(stream) = stream {
            let _ = stream.set_nodelay(true);
        }
    });
    tonic::transport::Server::builder()
        .add_service(ChatServiceServer::new(service))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}
