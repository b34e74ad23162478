//! A tonic echo with nothing around it, on the runtime of kvrpc-server: the least cost of a call.
//!
//! `cargo run --release -p kvrpc-bench --example bare_echo` prints its address; CodecService/Encode
//! answers with its own text. With `--stock` it is tonic's own server on tokio's multi-thread
//! runtime, as its documentation begins.

use std::convert::Infallible;
use std::error::Error;
use std::net::TcpListener;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use kvrpc::pb::v1::{DecodeRequest, DecodeResponse, EncodeRequest, EncodeResponse};
use tonic::body::Body;
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

/// tonic's stock servers of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod generated {
    tonic::include_proto!("kvrpc.v1");
}
use generated::codec_service_server::{CodecService, CodecServiceServer};

/// As in kvrpc-server, so that the two differ in nothing but what they do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Echo;

#[tonic::async_trait]
impl CodecService for Echo {
    async fn encode(
        &self,
        request: Request<EncodeRequest>,
    ) -> Result<Response<EncodeResponse>, Status> {
        Ok(Response::new(EncodeResponse { bits: request.into_inner().text }))
    }

    async fn decode(
        &self,
        request: Request<DecodeRequest>,
    ) -> Result<Response<DecodeResponse>, Status> {
        Ok(Response::new(DecodeResponse { text: request.into_inner().bits }))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    if std::env::args().nth(1).as_deref() == Some("--stock") {
        return stock(listener);
    }
    let cores = std::thread::available_parallelism()?.get();
    let mut workers = Vec::new();
    for _ in 0..cores {
        let (hand_over, mut connections) = tokio::sync::mpsc::channel::<std::net::TcpStream>(64);
        workers.push(hand_over);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(stream) = connections.recv().await {
                    tokio::spawn(async move {
                        // A connection that fails is the client's concern.
                        let _ = serve(stream).await;
                    });
                }
            });
        });
    }
    eprintln!("{}", listener.local_addr()?);
    for (stream, worker) in listener.incoming().zip(workers.iter().cycle()) {
        worker.blocking_send(stream?)?;
    }
    Ok(())
}

fn stock(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        listener.set_nonblocking(true)?;
        eprintln!("{}", listener.local_addr()?);
        let incoming = tonic::transport::server::TcpIncoming::from(
            tokio::net::TcpListener::from_std(listener)?,
        );
        let server = tonic::transport::Server::builder().add_service(CodecServiceServer::new(Echo));
        Ok(server.serve_with_incoming(incoming.with_nodelay(Some(true))).await?)
    })
}

async fn serve(stream: std::net::TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
    let service = CodecServiceServer::new(Echo)
        .map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new))
        .map_err(|never: Infallible| never);
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(io, TowerToHyperService::new(service))
        .await?;
    Ok(())
}
