//! KeyValueService.

use std::sync::Arc;

use futures_util::stream::try_unfold;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::call::{Api, Call, opened};
use crate::model::{Command, Prefix, Reply, UserName};
use crate::pb::v1;
use crate::service::StreamGuard;

#[tonic::async_trait]
impl v1::key_value_service_server::KeyValueService for Api {
    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        self.unary(request).await
    }

    async fn put(
        &self,
        request: Request<v1::PutRequest>,
    ) -> Result<Response<v1::PutResponse>, Status> {
        self.unary(request).await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        self.unary(request).await
    }

    async fn get_other(
        &self,
        request: Request<v1::GetOtherRequest>,
    ) -> Result<Response<v1::GetOtherResponse>, Status> {
        self.unary(request).await
    }

    async fn put_other(
        &self,
        request: Request<v1::PutOtherRequest>,
    ) -> Result<Response<v1::PutOtherResponse>, Status> {
        self.unary(request).await
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        self.unary(request).await
    }

    async fn scan(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<BoxStream<v1::ScanResponse>>, Status> {
        let (call, message) = opened(request)?;
        let steps = match Command::try_from(message) {
            Ok(Command::Scan { user, prefix, keys_only, .. }) => {
                Scan { user, prefix, keys_only, cursor: None }
            }
            Ok(other) => {
                return Err(
                    call.fail(&crate::model::Error::internal(format!("a scan became {other:?}")))
                );
            }
            Err(error) => return Err(call.fail(&error)),
        };
        let guard = call
            .caller
            .session
            .clone()
            .map(|session| StreamGuard::new(session, call.service().clock().clone()));
        let first = ScanState { call, next: Some(steps), _guard: guard };
        Ok(Response::new(Box::pin(try_unfold(first, ScanState::step))))
    }

    async fn batch(
        &self,
        request: Request<v1::BatchRequest>,
    ) -> Result<Response<v1::BatchResponse>, Status> {
        self.unary(request).await
    }
}

struct Scan {
    user: Option<UserName>,
    prefix: Prefix,
    keys_only: bool,
    cursor: Option<String>,
}

/// A scan between two messages. Each is made when the client has room for it, so a slow reader
/// holds one at most.
struct ScanState {
    call: Arc<Call>,
    /// `None`: the last message was sent.
    next: Option<Scan>,
    _guard: Option<StreamGuard>,
}

impl ScanState {
    async fn step(mut self) -> Result<Option<(v1::ScanResponse, Self)>, Status> {
        let Some(scan) = self.next.take() else { return Ok(None) };
        match self.advance(scan).await {
            Ok(response) => Ok(Some((response, self))),
            Err(error) => Err(self.call.fail(&error)),
        }
    }

    async fn advance(&mut self, mut scan: Scan) -> crate::model::Result<v1::ScanResponse> {
        self.call.check()?;
        let command = Command::Scan {
            user: scan.user.clone(),
            prefix: scan.prefix.clone(),
            keys_only: scan.keys_only,
            cursor: scan.cursor.take(),
        };
        // Each step is authorized anew: a role that was taken back ends the stream.
        let mut reply = self.call.execute(command).await?;
        if let Reply::Entries { cursor, .. } = &mut reply
            && let Some(cursor) = cursor.take()
        {
            self.next = Some(Scan { cursor: Some(cursor), ..scan });
        }
        v1::ScanResponse::try_from(reply)
    }
}
