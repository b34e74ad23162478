//! Reading and writing keys.

use futures_util::future::join;

use super::accesses::What;
use super::authorize::{Handle, Subject};
use super::fingerprint::Fingerprint;
use super::user::User;
use super::{Service, Session};
use crate::model::request::{Batch, Delete, Get, GetOther, Put, PutOther};
use crate::model::{
    Batched, Deleted, Entry, Error, Key, MAX_BATCH_OPERATIONS, MAX_MESSAGE_BYTES, Operations,
    PutRef, Reason, RequestId, Result, Role, Written,
};
use crate::store::{Backend, Once, Store};

impl Handle<Get> for Service {
    async fn handle(&self, subject: Subject<'_>, Get { key }: Get) -> Result<Entry> {
        found(subject.session()?.store.get(&key).await?, &key)
    }
}

impl Handle<GetOther> for Service {
    async fn handle(&self, subject: Subject<'_>, request: GetOther) -> Result<Entry> {
        let key = request.key;
        let owner = self.owner(&subject).await?;
        let recorded = self.record_access(&subject, &owner, key.as_str());
        let (entry, recorded) = join(owner.store.get(&key), recorded).await;
        recorded?;
        found(entry?, &key)
    }
}

impl Handle<Put> for Service {
    async fn handle(&self, subject: Subject<'_>, put: Put) -> Result<Written> {
        let session = subject.session()?;
        let id = put.request_id.as_ref();
        let once = once(session, id, || {
            Fingerprint::of(subject.method().name(), session.user.id).put(&put)
        });
        session.store.put(self.resolve(&put)?, once).await
    }
}

impl Handle<PutOther> for Service {
    async fn handle(&self, subject: Subject<'_>, request: PutOther) -> Result<Written> {
        let put = request.put;
        if let (Some(shared), Some(name)) = (&self.shared, subject.other()) {
            return self.put_other(shared, &subject, name, put).await;
        }
        let owner = self.owner(&subject).await?;
        let session = subject.session()?;
        let id = put.request_id.as_ref();
        let once =
            once(session, id, || Fingerprint::of(subject.method().name(), owner.id).put(&put));
        // Before the write: one that was done must not be answered without being on record.
        self.record_access(&subject, &owner, put.key.as_str()).await?;
        owner.store.put(self.resolve(&put)?, once).await
    }
}

impl Handle<Delete> for Service {
    async fn handle(&self, subject: Subject<'_>, delete: Delete) -> Result<Deleted> {
        let session = subject.session()?;
        let id = delete.request_id.as_ref();
        let once = once(session, id, || {
            Fingerprint::of(subject.method().name(), session.user.id).delete(&delete)
        });
        session.store.delete(delete, once).await
    }
}

impl Handle<Batch> for Service {
    async fn handle(&self, subject: Subject<'_>, batch: Batch) -> Result<Batched> {
        let Batch { mut operations, request_id } = batch;
        let session = subject.session()?;
        check_batch(&operations)?;
        let once = once(session, request_id.as_ref(), || {
            Fingerprint::of(subject.method().name(), session.user.id).operations(&operations)
        });
        operations.resolve(|| self.clock.now())?;
        session.store.batch(operations, once).await
    }
}

impl Service {
    /// Resolves the expiry of a put by the current time.
    ///
    /// # Errors
    /// `INVALID_TTL`.
    #[inline]
    pub(super) fn resolve<'a>(&self, put: &'a Put) -> Result<PutRef<'a>> {
        let expire_time = put.expiry.map(|expiry| expiry.resolve(self.clock.now())).transpose()?;
        Ok(PutRef { expire_time, ..put.to_ref() })
    }

    /// Records the access for the owner, unless the owner is the caller. `key` is the key, or the
    /// prefix of a listing.
    pub(super) async fn record_access(
        &self,
        subject: &Subject<'_>,
        owner: &User,
        key: &str,
    ) -> Result<()> {
        if subject.session()?.user.id == owner.id {
            return Ok(());
        }
        let (what, role) = Self::access(subject, key)?;
        match &self.shared {
            None => owner.accesses().record(what, role, self.clock.now()),
            Some(shared) => shared.record_access(owner, &what, role).await?,
        }
        Ok(())
    }

    /// Returns an access as its owner sees it, and the caller's role.
    pub(super) fn access(subject: &Subject<'_>, key: &str) -> Result<(What, Role)> {
        let session = subject.session()?;
        let view = session.view();
        let used = session.account_used();
        let account = used.map(|account| account.name.as_str().to_owned()).unwrap_or_default();
        let (protocol, method) = (subject.caller().protocol, subject.method().name());
        let what = What { user: view.name, account, protocol, method, key: key.to_owned() };
        Ok((what, view.role))
    }
}

/// Pairs a request id with its payload.
fn once<'a>(
    session: &'a Session,
    id: Option<&RequestId>,
    payload: impl FnOnce() -> Fingerprint,
) -> Option<Once<'a, Backend>> {
    let id = id?.clone();
    Some(Once { caller: &session.store, id, fingerprint: payload().finish() })
}

fn found(entry: Option<Entry>, key: &Key) -> Result<Entry> {
    match entry {
        Some(entry) => Ok(entry),
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
