//! A service that shows how its connection was handled, in place of the real one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::ThreadId;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kvrpc::listen::ConnInfo;
use kvrpc::listen::http::Tower;
use kvrpc::server::app::Hooks;
use kvrpc::server::compose::Parts;
use tokio::sync::watch;

/// Answers `/who` with the properties of the connection, `/until-closing` when the connection is
/// about to end, and other paths never.
#[derive(Clone)]
pub(crate) struct Probe {
    /// Number of requests that each thread has taken.
    taken: Arc<watch::Sender<HashMap<ThreadId, usize>>>,
}

impl Probe {
    /// Waits until `count` requests have arrived in all.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut watched = self.taken.subscribe();
        let all = |taken: &HashMap<ThreadId, usize>| taken.values().sum::<usize>() >= count;
        super::within("the requests arrive", watched.wait_for(all)).await.unwrap();
    }

    /// Returns the number of requests of each thread.
    pub(crate) fn by_thread(&self) -> Vec<usize> {
        self.taken.borrow().values().copied().collect()
    }
}

/// Returns a probe, and the parts of a server that answers with it.
pub(crate) fn probe() -> (Probe, impl FnOnce(Hooks) -> Parts<Tower<Probe>>) {
    let probe = Probe { taken: Arc::default() };
    let grpc = Tower(probe.clone());
    let metrics = |hooks: Hooks| {
        Arc::new(move || {
            hooks
                .limiters
                .iter()
                .map(|limiter| format!("{} {:?}\n", limiter.name(), limiter.stats()))
                .collect()
        })
    };
    (probe, move |hooks| Parts { grpc, service: None, metrics: metrics(hooks), tasks: Vec::new() })
}

impl tower::Service<Request<Incoming>> for Probe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let info = request.extensions().get::<ConnInfo>().unwrap().clone();
        self.taken.send_modify(|taken| *taken.entry(std::thread::current().id()).or_default() += 1);
        Box::pin(async move {
            let text = match request.uri().path() {
                "/who" => {
                    let certificates = info.peer_certificates.map_or(0, |chain| chain.len());
                    format!("peer={} tls={} certificates={certificates}", info.peer.ip(), info.tls)
                }
                "/until-closing" => {
                    info.closing.cancelled().await;
                    "told to end".to_owned()
                }
                _ => pending().await,
            };
            let body = http_body_util::Full::new(text.into()).map_err(|never| match never {});
            Ok(Response::new(Body::new(body)))
        })
    }
}
