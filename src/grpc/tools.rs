//! ServerService, and the small services: CodecService, ClockService, CalculatorService.

use tonic::{Request, Response, Status};

use super::call::Api;
use crate::pb::v1;

#[tonic::async_trait]
impl v1::server_service_server::ServerService for Api {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        self.unary(request).await
    }
}

#[tonic::async_trait]
impl v1::codec_service_server::CodecService for Api {
    async fn encode(
        &self,
        request: Request<v1::EncodeRequest>,
    ) -> Result<Response<v1::EncodeResponse>, Status> {
        self.unary(request).await
    }

    async fn decode(
        &self,
        request: Request<v1::DecodeRequest>,
    ) -> Result<Response<v1::DecodeResponse>, Status> {
        self.unary(request).await
    }
}

#[tonic::async_trait]
impl v1::clock_service_server::ClockService for Api {
    async fn now(
        &self,
        request: Request<v1::NowRequest>,
    ) -> Result<Response<v1::NowResponse>, Status> {
        self.unary(request).await
    }
}

#[tonic::async_trait]
impl v1::calculator_service_server::CalculatorService for Api {
    async fn calculate(
        &self,
        request: Request<v1::CalculateRequest>,
    ) -> Result<Response<v1::CalculateResponse>, Status> {
        self.unary(request).await
    }
}
