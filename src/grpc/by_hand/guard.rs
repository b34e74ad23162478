//! The stream of a call, which it keeps from panicking unseen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tonic::Status;

use crate::grpc::call::Call;

/// A stream of replies. A panic while a message is made ends it with INTERNAL instead of silence.
///
/// It keeps its call: the call lasts until the stream ends.
pub(in crate::grpc) struct Guarded<S> {
    inner: S,
    call: Option<Arc<Call>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, call: Arc<Call>) -> Self {
        Self { inner, call: Some(call) }
    }
}

impl<S, T> Stream for Guarded<S>
where
    S: Stream<Item = Result<T, Status>> + Unpin,
{
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, Status>>> {
        let this = &mut *self;
        if this.call.is_none() {
            return Poll::Ready(None);
        }
        let polled =
            catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_next(context)));
        polled.unwrap_or_else(|panic| {
            Poll::Ready(this.call.take().map(|call| Err(call.panicked(&*panic))))
        })
    }
}
