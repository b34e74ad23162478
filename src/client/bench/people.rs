//! The users that a load runs as: opened for it, and ended behind it.

use std::sync::atomic::{AtomicU32, Ordering};

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use super::load::Load;
use crate::client::explain::{explain, reason, retry_wait};
use crate::client::failure::{Failure, Result};
use crate::client::session::Session;
use crate::model::{MAX_MESSAGE_BYTES, Reason};
use crate::pb::v1::auth_service_client::AuthServiceClient;
use crate::pb::v1::key_value_service_client::KeyValueServiceClient;
use crate::pb::v1::operation::Operation as Kind;
use crate::pb::v1::{
    AuthRequest, BatchRequest, DeleteOperation, Operation, PutOperation, SignInRequest,
    SignOutRequest, put_operation,
};

/// How often a sign-in that came too soon is made again.
const TRIES: u32 = 200;

/// A user with a session of its own.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) token: MetadataValue<Ascii>,
    /// An account's store outlives its session.
    is_account: bool,
}

impl Person {
    /// A guest, or with a password the account of `--user`.
    pub(super) async fn caller(session: &Session, password: Option<&str>) -> Result<Self> {
        let Some(password) = password else { return Self::guest(session).await };
        let name = session.settings.user.as_str().to_owned();
        let request = AuthRequest { user: name.clone(), password: password.to_owned() };
        match AuthServiceClient::new(session.channel()).auth(request).await {
            Ok(reply) => Self::new(name, &reply.into_inner().token, true),
            Err(status) => Err(explain(&status, &session.settings).await),
        }
    }

    /// A guest with a name that nobody has.
    pub(super) async fn guest(session: &Session) -> Result<Self> {
        let name = guest_name();
        for _ in 0..TRIES {
            let request = SignInRequest { user: name.clone() };
            match AuthServiceClient::new(session.channel()).sign_in(request).await {
                Ok(reply) => return Self::new(name, &reply.into_inner().token, false),
                Err(status) if reason(&status) == Some(Reason::RateLimited) => {
                    tokio::time::sleep(retry_wait(&status).unwrap_or_default()).await;
                }
                Err(status) => return Err(explain(&status, &session.settings).await),
            }
        }
        Err(Failure::of(Reason::RateLimited, "the server lets no more users sign in"))
    }

    fn new(name: String, token: &str, is_account: bool) -> Result<Self> {
        let token = format!("Bearer {token}").parse();
        let mut token: MetadataValue<Ascii> =
            token.map_err(|_| Failure::failed("the server sent a malformed token"))?;
        token.set_sensitive(true);
        Ok(Self { name, token, is_account })
    }

    /// A request with this one's session.
    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }

    /// Puts every key of the load.
    pub(super) async fn fill(&self, session: &Session, load: &Load) -> Result<()> {
        let put = |number| {
            let data = Some(put_operation::Data::Value(load.value.clone()));
            Kind::Put(PutOperation { key: Load::key(number), data, ..Default::default() })
        };
        self.batches(session, load.keys(), load.value.len(), put).await
    }

    async fn batches(
        &self,
        session: &Session,
        keys: u64,
        bytes: usize,
        kind: impl Fn(u64) -> Kind,
    ) -> Result<()> {
        // Half of a message is left for what stands around the values.
        let each = (MAX_MESSAGE_BYTES / 2 / (bytes + 64)).clamp(1, 1_000) as u64;
        let mut client = KeyValueServiceClient::new(session.channel());
        for first in (0..keys).step_by(each as usize) {
            let operations = (first..keys.min(first + each))
                .map(|number| Operation { operation: Some(kind(number)) })
                .collect();
            let request = self.request(BatchRequest { operations, request_id: String::new() });
            if let Err(status) = client.batch(request).await {
                return Err(explain(&status, &session.settings).await);
            }
        }
        Ok(())
    }

    /// Ends the session. What the load wrote into an account's store goes before.
    pub(super) async fn end(self, session: &Session, keys: u64) -> Result<()> {
        if self.is_account {
            let delete = |number| {
                Kind::Delete(DeleteOperation { key: Load::key(number), ..Default::default() })
            };
            self.batches(session, keys, 0, delete).await?;
        }
        match AuthServiceClient::new(session.channel())
            .sign_out(self.request(SignOutRequest {}))
            .await
        {
            Ok(_) => Ok(()),
            Err(status) => Err(explain(&status, &session.settings).await),
        }
    }
}

/// A name that no other run has, nor another user of this one.
pub(super) fn guest_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run: u64 = rand::random();
    format!("bench-{run:016x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
