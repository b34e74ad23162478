//! Requests that are not native gRPC: gRPC-Web for browsers of the allowed origins. Any other
//! request is told which protocols are spoken here.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service as _};
use tower_http::cors::{Cors, CorsLayer};

use super::body::ReplyBody;
use super::conn::Conn;
use super::content_type::{self, ContentKind};
use super::native::Native;
use super::{ResponseFuture, plain};
use crate::listen::http::Browsers;
use crate::model::Error;
use crate::pb;

/// Headers that pages may send beside `authorization` and `content-type`: those of gRPC-Web's
/// clients, and those by which traces are passed on (W3C Trace Context and Baggage, gRPC, B3).
const SENT: [&str; 14] = [
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "connect-protocol-version",
    "traceparent",
    "tracestate",
    "baggage",
    "grpc-trace-bin",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];

/// Native calls behind gRPC-Web and CORS.
#[derive(Clone)]
pub(super) struct Web {
    translated: Cors<GrpcWebService<Translated>>,
}

impl Web {
    pub(super) fn new(native: Native, browsers: &Browsers) -> Self {
        // `*` would not cover `authorization` (Fetch, "CORS-unsafe request-header names").
        let read = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
        let cors = CorsLayer::new()
            .allow_origin(browsers.origins.clone())
            .allow_methods([Method::POST])
            .allow_headers(
                [AUTHORIZATION, CONTENT_TYPE]
                    .into_iter()
                    .chain(SENT.map(HeaderName::from_static))
                    .chain(browsers.headers.iter().cloned())
                    .collect::<Vec<_>>(),
            )
            .expose_headers(read.map(HeaderName::from_static))
            .max_age(Duration::from_secs(24 * 60 * 60));
        let translated = cors.layer(GrpcWebLayer::new().layer(Translated(native)));
        Self { translated }
    }

    pub(super) fn call(
        &self,
        conn: &Arc<Conn>,
        kind: ContentKind,
        mut request: Request<Body>,
    ) -> ResponseFuture {
        let preflight =
            request.method() == Method::OPTIONS && request.headers().contains_key(ORIGIN);
        if !preflight && kind != ContentKind::Web {
            return plain(
                StatusCode::NOT_FOUND,
                "kvrpc speaks gRPC and gRPC-Web here; try grpcurl or kvrpc-cli\n",
            );
        }
        content_type::normalise_web(request.headers_mut());
        request.extensions_mut().insert(Arc::clone(conn));
        let answering = self.translated.clone().call(request);
        ResponseFuture::later(async move {
            match answering.await {
                Ok(response) => response.map(ReplyBody::tonic),
                Err(never) => match never {},
            }
        })
    }
}

/// A gRPC-Web call after its translation.
#[derive(Clone)]
struct Translated(Native);

impl tower::Service<Request<Body>> for Translated {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        match request.extensions_mut().remove::<Arc<Conn>>() {
            Some(conn) => self.0.call(&conn, request),
            None => {
                let error = pb::status(&Error::internal("a request came without its connection"));
                ResponseFuture::ready(error.into_http().map(ReplyBody::tonic))
            }
        }
    }
}
