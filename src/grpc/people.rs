//! AuthService.

use http::header::AUTHORIZATION;
use tonic::{Request, Response, Status};

use super::call::Api;
use super::conn::bearer;
use crate::pb::v1;

#[tonic::async_trait]
impl v1::auth_service_server::AuthService for Api {
    async fn sign_in(
        &self,
        request: Request<v1::SignInRequest>,
    ) -> Result<Response<v1::SignInResponse>, Status> {
        self.unary(request).await
    }

    async fn auth(
        &self,
        request: Request<v1::AuthRequest>,
    ) -> Result<Response<v1::AuthResponse>, Status> {
        let own = request.metadata().as_ref().get(AUTHORIZATION).map(bearer).map(str::to_owned);
        let mut response: Response<v1::AuthResponse> = self.unary(request).await?;
        // The service keeps no token in the clear: a session that had one is told its own again.
        if let Some(own) = own {
            response.get_mut().token = own;
        }
        Ok(response)
    }

    async fn upgrade(
        &self,
        request: Request<v1::UpgradeRequest>,
    ) -> Result<Response<v1::UpgradeResponse>, Status> {
        self.unary(request).await
    }

    async fn downgrade(
        &self,
        request: Request<v1::DowngradeRequest>,
    ) -> Result<Response<v1::DowngradeResponse>, Status> {
        self.unary(request).await
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        self.unary(request).await
    }

    async fn sign_out(
        &self,
        request: Request<v1::SignOutRequest>,
    ) -> Result<Response<v1::SignOutResponse>, Status> {
        self.unary(request).await
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        self.unary(request).await
    }

    async fn list_accesses(
        &self,
        request: Request<v1::ListAccessesRequest>,
    ) -> Result<Response<v1::ListAccessesResponse>, Status> {
        self.unary(request).await
    }
}
