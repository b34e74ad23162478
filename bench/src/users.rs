//! The users that a load runs as: signed in before it, signed out after it.

use std::sync::atomic::{AtomicU32, Ordering};

use kvrpc::model::{MAX_MESSAGE_BYTES, Reason, UserName};
use kvrpc::pb::v1::auth_service_client::AuthServiceClient;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::operation::Operation as Kind;
use kvrpc::pb::v1::{
    AuthRequest, BatchRequest, DeleteOperation, Operation, PutOperation, SignInRequest,
    SignOutRequest, put_operation,
};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use crate::client::{Client, reason, retry_wait};
use crate::failure::{Failure, Result};
use crate::load::Load;

/// Maximum number of sign-ins after RATE_LIMITED.
const TRIES: u32 = 200;

/// A user with a session of its own.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    token: MetadataValue<Ascii>,
    /// The store of an account outlives its session.
    is_account: bool,
}

impl User {
    /// Signs an account in.
    pub(crate) async fn account(client: &Client, name: &UserName, password: &str) -> Result<Self> {
        let name = name.as_str().to_owned();
        let request = AuthRequest { user: name.clone(), password: password.to_owned() };
        let reply = client.call(AuthServiceClient::new(client.channel()).auth(request)).await?;
        Self::new(name, &reply.token, true)
    }

    /// Signs a guest in, with a name that nobody has.
    pub(crate) async fn guest(client: &Client) -> Result<Self> {
        let name = guest_name();
        for _ in 0..TRIES {
            let request = SignInRequest { user: name.clone() };
            let mut service = AuthServiceClient::new(client.channel());
            match client.attempt(service.sign_in(request)).await {
                Ok(reply) => return Self::new(name, &reply.token, false),
                Err(status) if reason(&status) == Some(Reason::RateLimited) => {
                    tokio::time::sleep(retry_wait(&status).unwrap_or_default()).await;
                }
                Err(status) => return Err(client.explain(&status)),
            }
        }
        Err(Failure::failed("the server lets no more users sign in (RATE_LIMITED)"))
    }

    fn new(name: String, token: &str, is_account: bool) -> Result<Self> {
        let token = format!("Bearer {token}").parse();
        let mut token: MetadataValue<Ascii> =
            token.map_err(|_| Failure::failed("the server sent a malformed token"))?;
        token.set_sensitive(true);
        Ok(Self { name, token, is_account })
    }

    /// A request with this user's session.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }

    /// Puts every key of the load.
    pub(crate) async fn fill(&self, client: &Client, load: &Load) -> Result<()> {
        let put = |number| {
            let data = Some(put_operation::Data::Value(load.value.clone()));
            Kind::Put(PutOperation { key: Load::key(number), data, ..Default::default() })
        };
        self.batches(client, load.keys(), load.value.len(), put).await
    }

    async fn batches(
        &self,
        client: &Client,
        keys: u64,
        bytes: usize,
        kind: impl Fn(u64) -> Kind,
    ) -> Result<()> {
        // The other half of a message is for keys, field tags and lengths.
        let each = (MAX_MESSAGE_BYTES / 2 / (bytes + 64)).clamp(1, 1_000) as u64;
        let mut service = KeyValueServiceClient::new(client.channel());
        for first in (0..keys).step_by(each as usize) {
            let operations = (first..keys.min(first + each))
                .map(|number| Operation { operation: Some(kind(number)) })
                .collect();
            let request = self.request(BatchRequest { operations, request_id: String::new() });
            client.call(service.batch(request)).await?;
        }
        Ok(())
    }

    /// Signs out. The keys of the load are deleted first from an account's store.
    pub(crate) async fn end(self, client: &Client, keys: u64) -> Result<()> {
        if self.is_account {
            let delete = |number| {
                Kind::Delete(DeleteOperation { key: Load::key(number), ..Default::default() })
            };
            self.batches(client, keys, 0, delete).await?;
        }
        let request = self.request(SignOutRequest {});
        client.call(AuthServiceClient::new(client.channel()).sign_out(request)).await.map(drop)
    }
}

/// A name that no other run has, nor another user of this run.
pub(crate) fn guest_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run: u64 = rand::random();
    format!("bench-{run:016x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
