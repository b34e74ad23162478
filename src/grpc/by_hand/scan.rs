//! Scan: the entries of a store, a message at a time.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tonic::{Request, Response, Status};

use super::guard::Guarded;
use crate::grpc::call::Call;
use crate::model::Result;
use crate::model::request::Scan;
use crate::pb::v1;
use crate::service::StreamGuard;

/// The stream of Scan.
pub(in crate::grpc) type ScanStream =
    Guarded<BoxStream<'static, std::result::Result<v1::ScanResponse, Status>>>;

/// Answers Scan.
pub(in crate::grpc) async fn scan(
    call: &Arc<Call>,
    request: Request<v1::ScanRequest>,
) -> std::result::Result<Response<ScanStream>, Status> {
    let first = Scan::try_from(request.into_inner()).map_err(|error| call.fail(&error))?;
    let session = call.caller.session.clone();
    let guard = session.map(|session| StreamGuard::new(session, call.service().clock().clone()));
    let state = ScanState { call: Arc::clone(call), next: Some(first), _guard: guard };
    let stream = try_unfold(state, ScanState::step).boxed();
    Ok(Response::new(Guarded::new(stream, Arc::clone(call))))
}

/// A scan between two messages. Each is made when the client has room for it, so a slow reader
/// holds one at most.
struct ScanState {
    call: Arc<Call>,
    /// The next step, or `None` after the last.
    next: Option<Scan>,
    _guard: Option<StreamGuard>,
}

impl ScanState {
    async fn step(mut self) -> std::result::Result<Option<(v1::ScanResponse, Self)>, Status> {
        let Some(scan) = self.next.take() else { return Ok(None) };
        match self.advance(scan).await {
            Ok(response) => Ok(Some((response, self))),
            Err(error) => Err(self.call.fail(&error)),
        }
    }

    async fn advance(&mut self, scan: Scan) -> Result<v1::ScanResponse> {
        // Not ended by a stop: a scan has an end of its own.
        self.call.check_deadline()?;
        // Each step is authorised anew: a role that was taken back ends the stream.
        let page = self.call.execute(scan.clone()).await?;
        self.next = page.cursor.clone().map(|cursor| Scan { cursor: Some(cursor), ..scan });
        Ok(page.into())
    }
}
