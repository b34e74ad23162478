//! The short way for unary calls that can be answered as soon as they are there: no future, no
//! task, nothing boxed.
//!
//! It knows only how things go well: a message that has arrived whole, on a store in this process's
//! memory. Whatever is different it hands on, as it came, to the generated service, so that there
//! is one place that says what is wrong with a message.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::Body as HttpBody;
use prost::Message;

use super::body::{ReadAhead, ReplyBody};
use super::call::Call;
use super::native::panicked;
use super::stream::{GRPC_CONTENT_TYPE, PREFIX, frame, put_prefix};
use crate::model::{Command, Error, MAX_MESSAGE_BYTES, Reply};
use crate::pb::wire::Unusual;
use crate::pb::{self, v1, wire};
use crate::service::Method;

/// The answer; or the body, to be read by somebody else.
pub(super) fn answer<B>(call: &Call, body: B) -> Result<Response<ReplyBody>, ReadAhead<B>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    #[allow(clippy::wildcard_enum_match_arm, reason = "what is not listed goes the long way")]
    let run = match call.method {
        Method::Get => get,
        Method::Put => put,
        Method::Delete => run::<v1::DeleteRequest, v1::DeleteResponse>,
        Method::GetOther => run::<v1::GetOtherRequest, v1::GetOtherResponse>,
        Method::PutOther => run::<v1::PutOtherRequest, v1::PutOtherResponse>,
        Method::Batch => batch,
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

fn get(call: &Call, framed: Bytes) -> Option<Response<ReplyBody>> {
    run_with(call, framed, read_as::<v1::GetRequest>(wire::read_get), |reply| {
        let Reply::Entry(entry) = &reply else { return Err(pb::mismatch(&reply)) };
        Ok(written(|out| wire::write_get(entry, out, put_prefix)))
    })
}

fn put(call: &Call, framed: Bytes) -> Option<Response<ReplyBody>> {
    run_with(call, framed, read_as::<v1::PutRequest>(wire::read_put), framed_as::<v1::PutResponse>)
}

fn batch(call: &Call, framed: Bytes) -> Option<Response<ReplyBody>> {
    run_with(call, framed, read_as::<v1::BatchRequest>(wire::read_batch), |reply| {
        let Reply::Batch { outcomes, revision, durability } = &reply else {
            return Err(pb::mismatch(&reply));
        };
        let answer = wire::Answer { outcomes, revision: *revision, durability: *durability };
        Ok(written(|out| wire::write_batch(answer, out, put_prefix)))
    })
}

/// An RPC of the generated messages.
fn run<M, R>(call: &Call, framed: Bytes) -> Option<Response<ReplyBody>>
where
    M: Message + Default,
    Command: TryFrom<M, Error = Error>,
    R: Message + TryFrom<Reply, Error = Error>,
{
    run_with(call, framed, generated::<M>, framed_as::<R>)
}

/// Reads a message as the generated code does; `None`: it is no such message.
fn generated<M: Message + Default>(message: Bytes) -> Option<Result<Command, Error>>
where
    Command: TryFrom<M, Error = Error>,
{
    M::decode(message).ok().map(Command::try_from)
}

/// Reads a message the short way, and if it is none for that, as the generated code does.
fn read_as<M: Message + Default>(
    short: fn(&Bytes) -> Result<Result<Command, Error>, Unusual>,
) -> impl Fn(Bytes) -> Option<Result<Command, Error>>
where
    Command: TryFrom<M, Error = Error>,
{
    move |message| short(&message).ok().or_else(|| generated::<M>(message))
}

fn framed_as<R: Message + TryFrom<Reply, Error = Error>>(reply: Reply) -> Result<Bytes, Error> {
    R::try_from(reply).map(|response| frame(&response))
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

/// The answer to a framed message; `None`: it is none that is understood here.
fn run_with(
    call: &Call,
    mut framed: Bytes,
    read: impl Fn(Bytes) -> Option<Result<Command, Error>>,
    write: impl Fn(Reply) -> Result<Bytes, Error>,
) -> Option<Response<ReplyBody>> {
    let length = framed.len().checked_sub(PREFIX).filter(|length| *length <= MAX_MESSAGE_BYTES)?;
    if framed.try_get_u8().ok()? != 0 || framed.try_get_u32().ok()? as usize != length {
        return None;
    }
    let answered = read(framed)?
        .and_then(|command| call.service().execute_at_once(&call.caller, command))
        .and_then(write);
    Some(match answered {
        Ok(message) => {
            let mut headers = HeaderMap::with_capacity(1);
            headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
            let mut response = Response::new(ReplyBody::message(message));
            *response.headers_mut() = headers;
            response
        }
        Err(error) => call.fail(&error).into_http().map(ReplyBody::tonic),
    })
}
