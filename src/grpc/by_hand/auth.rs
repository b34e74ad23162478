//! Auth: a session that took an account's role is told its own token.

use http::header::AUTHORIZATION;
use tonic::{Request, Response, Status};

use crate::grpc::call::Call;
use crate::grpc::conn::bearer;
use crate::model::request::Auth;
use crate::pb::v1;

/// Answers Auth.
pub(in crate::grpc) async fn auth(
    call: &Call,
    request: Request<v1::AuthRequest>,
) -> Result<Response<v1::AuthResponse>, Status> {
    let own = request.metadata().as_ref().get(AUTHORIZATION).map(bearer).map(str::to_owned);
    let mut response: Response<v1::AuthResponse> = call.unary::<Auth, _, _>(request).await?;
    // The service keeps no token in the clear: a session that had one is told its own again.
    if let Some(own) = own {
        response.get_mut().token = own;
    }
    Ok(response)
}
