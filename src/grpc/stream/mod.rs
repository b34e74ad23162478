//! The streams with bodies of their own: Chat, Subscribe and Watch, which never end by themselves,
//! and Pipeline.
//!
//! Many of them follow the same events. Each event is encoded once, by the first stream that sends
//! it, and the same bytes go to all: so these RPCs come by a body of their own and not by the
//! generated server, which would encode for each. Pipeline shares what that body does beside:
//! deadlines, the end of the session, the server's stop.

mod events;
mod frame;
mod pipeline;
mod room;
mod watch;

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use prost::Message;
use tonic::body::Body;
use tonic::codec::Decoder;
use tonic::{Status, Streaming};
use tonic_prost::ProstDecoder;

use self::events::{Events, Source};
pub(super) use self::frame::{PREFIX, frame, put_prefix};
use super::body::ReplyBody;
use super::call::Call;
use super::native::Handling;
use super::{deadline, native};
use crate::model::{Error, MAX_MESSAGE_BYTES, Prefix, Reason, Result, RoomName};
use crate::pb::{self, v1};

/// Answers Chat.
pub(super) fn chat(call: Arc<Call>, request: Request<Body>) -> Handling {
    // The headers go out before the first request: a client may wait for them before it sends one.
    let patience = call.service().limits().call_timeout;
    let answer =
        requests(request).map(|requests| room::Room::chat(Arc::clone(&call), requests, patience));
    Box::pin(async move { respond(&call, answer) })
}

/// Answers Subscribe.
pub(super) fn subscribe(call: Arc<Call>, request: Request<Body>) -> Handling {
    Box::pin(async move {
        let answer = match only(&call, request).await {
            Ok(request) => open_room(&call, request).await.map_err(|error| call.fail(&error)),
            Err(status) => Err(status),
        };
        respond(&call, answer)
    })
}

/// Answers Pipeline.
pub(super) fn pipeline(call: Arc<Call>, request: Request<Body>) -> Handling {
    let answer = decoded(request, pipeline::Batches)
        .map(|batches| pipeline::Pipeline::new(Arc::clone(&call), batches));
    Box::pin(async move { respond(&call, answer) })
}

/// Answers Watch.
pub(super) fn watch(call: Arc<Call>, request: Request<Body>) -> Handling {
    Box::pin(async move {
        let answer = match only(&call, request).await {
            // Boxed: this part is large and soon over, and with it the whole would be of the size
            // of a page. What was a page of such a call becomes h2's header buffer of the next
            // connection, which most clients leave untouched, but which then takes memory all the
            // same: 4 KiB each.
            Ok(request) => {
                Box::pin(open_watch(&call, request)).await.map_err(|error| call.fail(&error))
            }
            Err(status) => Err(status),
        };
        respond(&call, answer)
    })
}

async fn open_room(call: &Arc<Call>, request: v1::SubscribeRequest) -> Result<room::Room> {
    let room = RoomName::new(request.room)?;
    let joining = call.service().subscribe(&call.caller, &room, request.after.map(Into::into));
    match tokio::time::timeout(call.service().limits().call_timeout, joining).await {
        Ok(joined) => Ok(room::Room::subscribe(Arc::clone(call), joined?)),
        Err(_) => Err(deadline::exceeded()),
    }
}

async fn open_watch(call: &Call, request: v1::WatchRequest) -> Result<watch::Watch> {
    let user = pb::user_or_caller(request.user)?;
    let prefix = Prefix::new(request.prefix)?;
    let after = request.after.map(Into::into);
    Ok(watch::Watch::new(call.service().watch(&call.caller, user.as_ref(), prefix, after).await?))
}

fn respond(
    call: &Arc<Call>,
    answer: std::result::Result<impl Source, Status>,
) -> Response<ReplyBody> {
    match answer {
        Ok(source) => {
            let mut response =
                Response::new(ReplyBody::stream(Events::new(Arc::clone(call), source)));
            response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(status) => status.into_http().map(ReplyBody::tonic),
    }
}

/// The requests of a call, decoded as they come.
fn requests<M: Message + Default + 'static>(
    request: Request<Body>,
) -> std::result::Result<Streaming<M>, Status> {
    decoded(request, ProstDecoder::default())
}

fn decoded<D>(request: Request<Body>, decoder: D) -> std::result::Result<Streaming<D::Item>, Status>
where
    D: Decoder<Error = Status> + Send + 'static,
{
    let encoding = request.headers().get("grpc-encoding");
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let mut status = Status::unimplemented(
            "compressed messages are not accepted; send them with grpc-encoding identity",
        );
        status.metadata_mut().insert(
            "grpc-accept-encoding",
            tonic::metadata::MetadataValue::from_static("identity"),
        );
        return Err(status);
    }
    Ok(Streaming::new_request(decoder, request.into_body(), None, Some(MAX_MESSAGE_BYTES)))
}

/// The request of a call that has one.
async fn only<M: Message + Default + 'static>(
    call: &Call,
    request: Request<Body>,
) -> std::result::Result<M, Status> {
    let mut requests = requests(request)?;
    match tokio::time::timeout(call.service().limits().call_timeout, requests.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => {
            Err(call.fail(&Error::new(Reason::InvalidMessage, "the call has no request")))
        }
        Ok(Err(status)) => Err(refusal(call, status)),
        Err(_) => Err(call.fail(&deadline::exceeded())),
    }
}

/// What a request that could not be read is answered with.
fn refusal(call: &Call, status: Status) -> Status {
    match native::unreadable(&status) {
        Some(error) => call.fail(&error),
        None => status,
    }
}

/// The type of a body of gRPC messages.
pub(super) const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
