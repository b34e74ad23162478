//! Reading and writing keys.

use futures_util::future::join;

use super::accesses::What;
use super::authorize::{About, Caller};
use super::fingerprint::Fingerprint;
use super::method::Method;
use super::user::User;
use super::{Service, Session};
use crate::model::{
    Delete, Entry, Error, Key, MAX_BATCH_OPERATIONS, MAX_MESSAGE_BYTES, Operations, Put, PutRef,
    Reason, Reply, RequestId, Result, Role, UserName,
};
use crate::store::{Backend, Batched, Deleted, Once, Store, Written};

impl Service {
    pub(super) async fn get(&self, caller: &Caller, key: Key) -> Result<Reply> {
        found(caller.session()?.store.get(&key).await?, &key)
    }

    pub(super) async fn get_other(
        &self,
        caller: &Caller,
        user: &UserName,
        key: Key,
    ) -> Result<Reply> {
        let owner = self.authorize(caller, Method::GetOther, Some(user)).await?;
        let recorded = self.record_access(caller, &owner, Method::GetOther, key.as_str());
        let (entry, recorded) = join(owner.store.get(&key), recorded).await;
        recorded?;
        found(entry?, &key)
    }

    pub(super) async fn put(
        &self,
        caller: &Caller,
        user: Option<&UserName>,
        put: Put,
        request_id: Option<RequestId>,
    ) -> Result<Reply> {
        let method = if user.is_some() { Method::PutOther } else { Method::Put };
        if let (Some(shared), Some(name)) = (&self.shared, user)
            && let About::Another { .. } = self.rule(caller, method, user)?
        {
            return self.put_other(shared, caller, name, put, request_id).await;
        }
        let owner = self.authorize(caller, method, user).await?;
        let session = caller.session()?;
        let once = request_id
            .map(|id| once(session, id, Fingerprint::of(method.name(), owner.id).put(&put)));
        // Before the write: one that was done must not be answered without being on record.
        self.record_access(caller, &owner, method, put.key.as_str()).await?;
        let Written { revision, durability } = owner.store.put(self.resolve(&put)?, once).await?;
        Ok(Reply::Put { revision, durability })
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        delete: Delete,
        request_id: Option<RequestId>,
    ) -> Result<Reply> {
        let session = caller.session()?;
        let print = || Fingerprint::of(Method::Delete.name(), session.user.id);
        let once = request_id.map(|id| once(session, id, print().delete(&delete)));
        let Deleted { deleted, revision, durability } = session.store.delete(delete, once).await?;
        Ok(Reply::Delete { deleted, revision, durability })
    }

    pub(super) async fn batch(
        &self,
        caller: &Caller,
        mut operations: Operations,
        request_id: Option<RequestId>,
    ) -> Result<Reply> {
        let session = caller.session()?;
        check_batch(&operations)?;
        let print = || Fingerprint::of(Method::Batch.name(), session.user.id);
        let once = request_id.map(|id| once(session, id, print().operations(&operations)));
        operations.resolve(|| self.clock.now())?;
        let Batched { outcomes, revision, durability } =
            session.store.batch(operations, once).await?;
        Ok(Reply::Batch { outcomes, revision, durability })
    }

    /// Resolves the expiry of a put by the current time.
    ///
    /// # Errors
    /// `INVALID_TTL`.
    #[inline]
    pub(super) fn resolve<'a>(&self, put: &'a Put) -> Result<PutRef<'a>> {
        let expire_time = put.expiry.map(|expiry| expiry.resolve(self.clock.now())).transpose()?;
        Ok(PutRef { expire_time, ..put.to_ref() })
    }

    /// Puts it on record for the owner, unless the owner is the caller.
    pub(super) async fn record_access(
        &self,
        caller: &Caller,
        owner: &User,
        method: Method,
        key: &str,
    ) -> Result<()> {
        let session = caller.session()?;
        if session.user.id == owner.id {
            return Ok(());
        }
        let (what, role) = Self::access(caller, method, key)?;
        match &self.shared {
            None => owner.accesses().record(what, role, self.clock.now()),
            Some(shared) => shared.record_access(owner, &what, role).await?,
        }
        Ok(())
    }

    /// What an owner is told of a call.
    pub(super) fn access(caller: &Caller, method: Method, key: &str) -> Result<(What, Role)> {
        let session = caller.session()?;
        let view = session.view();
        let account = session
            .account_used()
            .map(|account| account.name.as_str().to_owned())
            .unwrap_or_default();
        let what = What {
            user: view.name,
            account,
            door: caller.door,
            method: method.name(),
            key: key.to_owned(),
        };
        Ok((what, view.role))
    }
}

fn once(session: &Session, id: RequestId, payload: Fingerprint) -> Once<'_, Backend> {
    Once { caller: &session.store, id, fingerprint: payload.finish() }
}

fn found(entry: Option<Entry>, key: &Key) -> Result<Reply> {
    match entry {
        Some(entry) => Ok(Reply::Entry(entry)),
        None => Err(Error::new(Reason::KeyNotFound, format!("there is no key {:?}", key.as_str()))),
    }
}

fn check_batch(operations: &Operations) -> Result<()> {
    let invalid =
        |message: String| Err(Error::new(Reason::InvalidBatch, message).in_field("operations"));
    if operations.is_empty() {
        return invalid("the batch has no operations; it takes 1 to 1,000".to_owned());
    }
    if operations.len() > MAX_BATCH_OPERATIONS {
        return invalid(format!(
            "the batch has {} operations; it takes 1 to 1,000",
            operations.len()
        ));
    }
    let bytes = operations.bytes();
    if bytes > MAX_MESSAGE_BYTES {
        return invalid(format!(
            "the batch has {bytes} bytes of keys and values; at most 4,194,304 (4 MiB) are allowed"
        ));
    }
    Ok(())
}
