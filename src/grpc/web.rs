//! Requests that are not native gRPC: gRPC-Web for browsers of the allowed origins. Any other
//! request is told which protocols are spoken here.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service as _};
use tower_http::cors::{Cors, CorsLayer};

use super::ResponseFuture;
use super::body::ReplyBody;
use super::conn::Conn;
use super::native::Native;
use crate::model::Error;
use crate::pb;

/// Native calls behind gRPC-Web and CORS.
#[derive(Clone)]
pub(super) struct Web {
    translated: Cors<GrpcWebService<Translated>>,
    allowed_origins: Vec<HeaderValue>,
}

impl Web {
    pub(super) fn new(native: Native, allowed_origins: &[HeaderValue]) -> Self {
        // `*` would not cover `authorization` (Fetch, "CORS-unsafe request-header names").
        let sent = ["grpc-timeout", "x-grpc-web", "x-user-agent", "connect-protocol-version"];
        let read = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
        let cors = CorsLayer::new()
            .allow_origin(allowed_origins.to_vec())
            .allow_methods([Method::POST])
            .allow_headers(
                [AUTHORIZATION, CONTENT_TYPE]
                    .into_iter()
                    .chain(sent.map(HeaderName::from_static))
                    .collect::<Vec<_>>(),
            )
            .expose_headers(read.map(HeaderName::from_static))
            .max_age(Duration::from_secs(24 * 60 * 60));
        let translated = cors.layer(GrpcWebLayer::new().layer(Translated(native)));
        Self { translated, allowed_origins: allowed_origins.to_vec() }
    }

    pub(super) fn call(&self, conn: &Arc<Conn>, mut request: Request<Body>) -> ResponseFuture {
        let preflight =
            request.method() == Method::OPTIONS && request.headers().contains_key(ORIGIN);
        if !preflight && !is_web(request.headers()) {
            return plain(
                StatusCode::NOT_FOUND,
                "kvrpc speaks gRPC and gRPC-Web here; try grpcurl or kvrpc-cli\n",
            );
        }
        // A page that is not allowed must not even have its call made, whatever it could read of
        // the answer.
        let origin = request.headers().get(ORIGIN);
        if origin.is_some_and(|origin| !self.allowed_origins.contains(origin)) {
            return plain(
                StatusCode::FORBIDDEN,
                "this origin is not allowed; the server's --allow-origin lists those that are\n",
            );
        }
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

/// The content types of gRPC-Web; any other would be passed on untranslated.
fn is_web(headers: &HeaderMap) -> bool {
    let kinds = [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
    ];
    headers.get(CONTENT_TYPE).is_some_and(|kind| kinds.iter().any(|known| kind == known))
}

fn plain(status: StatusCode, text: &'static str) -> ResponseFuture {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    ResponseFuture::ready(response.map(ReplyBody::tonic))
}
