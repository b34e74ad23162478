//! The short way for unary calls that can be answered as soon as they are there: no future, no task, nothing boxed.
//!
//! It knows only how things go well: a message that has arrived whole, on a store in this process's memory. Whatever is different it hands on, as it
//! came, to the generated service, so that there is one place that says what is wrong with a message.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf as _, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::Body as HttpBody;
use prost::Message;

use super::body::{ReadAhead, ReplyBody};
use super::call::Call;
use super::native::panicked;
use super::stream::{GRPC_CONTENT_TYPE, PREFIX, frame};
use crate::model::{Command, Error, MAX_MESSAGE_BYTES, Reply};
use crate::pb::v1;
use crate::service::Method;

/// The answer; or the body, to be read by somebody else.
pub(super) fn answer<B>(call: &Call, body: B) -> Result<Response<ReplyBody>, ReadAhead<B>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    #[allow(clippy::wildcard_enum_match_arm, reason = "what is not listed goes the long way")]
    let run = match call.method {
        Method::Get => run::<v1::GetRequest, v1::GetResponse>,
        Method::Put => run::<v1::PutRequest, v1::PutResponse>,
        Method::Delete => run::<v1::DeleteRequest, v1::DeleteResponse>,
        Method::GetOther => run::<v1::GetOtherRequest, v1::GetOtherResponse>,
        Method::PutOther => run::<v1::PutOtherRequest, v1::PutOtherResponse>,
        Method::Batch => run::<v1::BatchRequest, v1::BatchResponse>,
        _ => return Err(ReadAhead::new(body)),
    };
    if !call.service().answers_at_once() {
        return Err(ReadAhead::new(body));
    }
    let (message, rest) = whole(body)?;
    let answered = catch_unwind(AssertUnwindSafe(|| run(call, message.clone())));
    match answered {
        Ok(Some(response)) => Ok(response),
        Ok(None) => {
            let mut ahead = ReadAhead::new(rest);
            ahead.put_first(message);
            Err(ahead)
        }
        Err(panic) => Ok(panicked(call, &*panic)),
    }
}

/// The body's data, if it is all there in one frame, with what is left of the body: nothing.
fn whole<B: HttpBody<Data = Bytes> + Unpin>(body: B) -> Result<(Bytes, B), ReadAhead<B>> {
    let mut ahead = ReadAhead::new(body);
    let Some(only) = ahead.read_data() else { return Err(ahead) };
    // Some clients end their side with an empty frame of its own.
    if ahead.rest.is_end_stream()
        || ahead.read_data().is_some_and(|next| {
            let last = next.is_empty() && ahead.rest.is_end_stream();
            ahead.put_back(next);
            last
        })
    {
        return Ok((only, ahead.rest));
    }
    ahead.put_first(only);
    Err(ahead)
}

/// The answer to a framed message; `None`: it is none that is understood here.
fn run<M, R>(call: &Call, mut framed: Bytes) -> Option<Response<ReplyBody>>
where
    M: Message + Default,
    Command: TryFrom<M, Error = Error>,
    R: Message + TryFrom<Reply, Error = Error>,
{
    let length = framed.len().checked_sub(PREFIX).filter(|length| *length <= MAX_MESSAGE_BYTES)?;
    if framed.try_get_u8().ok()? != 0 || framed.try_get_u32().ok()? as usize != length {
        return None;
    }
    let message = M::decode(framed).ok()?;
    let answered = Command::try_from(message)
        .and_then(|command| call.service().execute_at_once(&call.caller, command))
        .and_then(R::try_from);
    Some(match answered {
        Ok(reply) => {
            let mut headers = HeaderMap::with_capacity(1);
            headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            let mut response = Response::new(ReplyBody::message(frame(&reply)));
            *response.headers_mut() = headers;
            response
        }
        Err(error) => call.fail(&error).into_http().map(ReplyBody::tonic),
    })
}
