//! A client that sends any bytes to any path, and reports failures by code and reason.

use bytes::{Buf as _, BufMut as _, Bytes};
use kvrpc::model::Reason;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Failure of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// Reason in the ErrorInfo, whose domain is checked; `None` without an ErrorInfo.
    pub(crate) reason: Option<Reason>,
    pub(crate) message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let info = status.get_error_details().error_info().cloned();
        let reason = info.map(|info| {
            assert_eq!(info.domain, "kvrpc");
            Reason::parse(&info.reason)
                .unwrap_or_else(|| panic!("{} is no reason of the contract", info.reason))
        });
        let causes =
            std::iter::successors(std::error::Error::source(&status), |error| error.source());
        let message = causes
            .fold(status.message().to_owned(), |message, cause| format!("{message}: {cause}"));
        Self { code: status.code(), reason, message }
    }
}

impl Failure {
    /// Returns true if the client library gave up before sending the call, since the connection was
    /// just told to go away.
    pub(crate) fn was_not_sent(&self) -> bool {
        let causes =
            ["operation was canceled", "connection error received: not a result of an error"];
        self.reason.is_none() && causes.iter().any(|cause| self.message.contains(cause))
    }
}

/// Client of one user, or without a token.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) channel: Channel,
    pub(crate) authorization: Option<String>,
}

impl Raw {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, authorization: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { channel: self.channel.clone(), authorization: Some(format!("Bearer {token}")) }
    }

    /// Returns a request of this user.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        request
    }

    /// Returns the messages of the answer; a unary call has one.
    pub(crate) async fn bytes(&self, path: &str, message: Vec<u8>) -> Result<Vec<Bytes>, Status> {
        self.some_bytes(path, message, usize::MAX).await
    }

    /// Returns the first messages of an answer that may have no end.
    pub(crate) async fn some_bytes(
        &self,
        path: &str,
        message: Vec<u8>,
        most: usize,
    ) -> Result<Vec<Bytes>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(16 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = self.request(message);
        let mut stream =
            grpc.server_streaming(request, path.parse().unwrap(), BytesCodec).await?.into_inner();
        let mut messages = Vec::new();
        while messages.len() < most
            && let Some(message) = stream.message().await?
        {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Makes a unary call by its path.
    pub(crate) async fn call<M: Message, R: Message + Default>(
        &self,
        path: &str,
        message: &M,
    ) -> Result<R, Failure> {
        let messages = self.bytes(path, message.encode_to_vec()).await?;
        let [only] = &messages[..] else {
            panic!("{path} answered with {} messages", messages.len())
        };
        Ok(R::decode(only.clone()).unwrap())
    }
}

/// Codec that passes bytes through.
#[derive(Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
