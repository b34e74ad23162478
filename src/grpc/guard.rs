//! The guard of a call: its deadline, its panics, and a reason for each refusal.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::{Code, Status};

use super::body::ReplyBody;
use super::call::Call;
use super::deadline;
use super::native::Handling;
use crate::model::{Error, MAX_MESSAGE_BYTES, Reason};

/// Holds a call to its deadline, turns a panic into INTERNAL, and gives a reason to a refusal that
/// has none yet.
pub(super) fn guarded(
    call: Arc<Call>,
    answering: impl Future<Output = Result<Response<ReplyBody>, Status>> + Send + 'static,
) -> Handling {
    Box::pin(Guarded { call, timer: None, answering })
}

pin_project! {
    struct Guarded<F> {
        call: Arc<Call>,
        // Made only for a call that has to wait: most are answered at once. A stream holds itself
        // to the deadline; this is the time to its first headers.
        timer: Option<Pin<Box<Sleep>>>,
        #[pin]
        answering: F,
    }
}

impl<F: Future<Output = Result<Response<ReplyBody>, Status>>> Future for Guarded<F> {
    type Output = Response<ReplyBody>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response<ReplyBody>> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.answering.poll(context)));
        Poll::Ready(match polled {
            Ok(Poll::Ready(Ok(response))) => response,
            Ok(Poll::Ready(Err(status))) => refused_by_tonic(this.call, status),
            Err(panic) => answer(this.call.panicked(&*panic)),
            Ok(Poll::Pending) => {
                let Some(end) = this.call.end else { return Poll::Pending };
                let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(end.into())));
                ready!(timer.as_mut().poll(context));
                answer(this.call.fail(&deadline::exceeded()))
            }
        })
    }
}

/// A response that is a status alone.
fn answer(status: Status) -> Response<ReplyBody> {
    status.into_http().map(ReplyBody::tonic)
}

/// The response to a call that failed: by the server's own status, or by one of tonic's or the
/// glue's, which lacks a reason.
fn refused_by_tonic(call: &Call, status: Status) -> Response<ReplyBody> {
    answer(match unreadable(&status) {
        Some(error) if !call.has_failed() => call.fail(&error),
        Some(_) | None => status,
    })
}

/// Returns the contract's error for a message that could not be read, as tonic or the glue says.
pub(super) fn unreadable(status: &Status) -> Option<Error> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "gRPC's codes, of which tonic uses these for unreadable messages"
    )]
    match status.code() {
        Code::Internal => {
            Some(Error::new(Reason::InvalidMessage, "the message is no message of this RPC"))
        }
        Code::OutOfRange => Some(Error::new(
            Reason::InvalidMessage,
            format!(
                "the message is too large; at most {MAX_MESSAGE_BYTES} bytes (4 MiB) are allowed"
            ),
        )),
        _ => None,
    }
}
