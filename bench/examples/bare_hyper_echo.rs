//! A gRPC echo written straight on hyper, without tonic and protobuf, with one runtime a core as in
//! kvrpc-server: the cost of HTTP/2 itself.
//!
//! `cargo run --release -p kvrpc-bench --example bare_hyper_echo` prints its address; every call
//! answers with its own message.

use std::convert::Infallible;
use std::error::Error;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// As in kvrpc-server, so that the two differ in nothing but what they do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One message, and the trailers that say it was all.
struct Reply {
    message: Option<Bytes>,
    ended: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Reply>, hyper::Error> {
    let message = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Reply { message: Some(message), ended: false });
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut workers = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
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

async fn serve(stream: std::net::TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(io, hyper::service::service_fn(echo))
        .await?;
    Ok(())
}
