//! ChatService, its unary calls; the others are in `stream`.

use tonic::{Request, Response, Status};

use super::call::Api;
use crate::pb::v1;

#[tonic::async_trait]
impl v1::chat_service_server::ChatService for Api {
    async fn send(
        &self,
        request: Request<v1::SendRequest>,
    ) -> Result<Response<v1::SendResponse>, Status> {
        self.unary(request).await
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        self.unary(request).await
    }

    async fn list_rooms(
        &self,
        request: Request<v1::ListRoomsRequest>,
    ) -> Result<Response<v1::ListRoomsResponse>, Status> {
        self.unary(request).await
    }
}
