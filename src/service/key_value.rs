//! Reading and writing keys.

use futures_util::future::join;

use super::access_log::AccessRow;
use super::authorize::{Handle, Subject};
use super::fingerprint::Fingerprint;
use super::user::User;
use super::{Service, Session};
use crate::model::request::{Batch, Delete, Get, GetOther, Put, PutOther};
use crate::model::{
    Batched, Deleted, Entry, Error, Key, MAX_BATCH_OPERATIONS, MAX_MESSAGE_BYTES, Operations,
    PutRef, Reason, RequestId, Result, Written,
};
use crate::store::{Backend, Clock, Once, Store};

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
        self.put_own(&subject, &put).await
    }
}

impl Handle<PutOther> for Service {
    async fn handle(
        &self,
        subject: Subject<'_>,
        PutOther { put, .. }: PutOther,
    ) -> Result<Written> {
        match subject.other() {
            None => self.put_own(&subject, &put).await,
            Some(name) => self.registry.put_other(&subject, name, &put).await,
        }
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
    /// Puts an entry into the caller's own store.
    #[inline]
    async fn put_own(&self, subject: &Subject<'_>, put: &Put) -> Result<Written> {
        let session = subject.session()?;
        let fingerprint = || Fingerprint::of(subject.method().name(), session.user.id).put(put);
        let once = once(session, put.request_id.as_ref(), fingerprint);
        session.store.put(resolve(put, &self.clock)?, once).await
    }

    /// Records an access for the owner, unless the owner is the caller. `key` is the key, or the
    /// prefix of a listing.
    ///
    /// # Errors
    /// `SESSION_EXPIRED`, `STORE_UNAVAILABLE`.
    pub(super) async fn record_access(
        &self,
        subject: &Subject<'_>,
        owner: &User,
        key: &str,
    ) -> Result<()> {
        if subject.session()?.user.id == owner.id {
            return Ok(());
        }
        let (row, role) = AccessRow::of(subject, key)?;
        self.registry.record_access(owner, row, role).await
    }
}

/// Resolves the expiry of a put by the current time.
///
/// # Errors
/// `INVALID_TTL`.
#[inline]
pub(super) fn resolve<'a>(put: &'a Put, clock: &Clock) -> Result<PutRef<'a>> {
    let expire_time = put.expiry.map(|expiry| expiry.resolve(clock.now())).transpose()?;
    Ok(PutRef { expire_time, ..put.to_ref() })
}

/// Pairs a request id with the fingerprint of its payload.
pub(super) fn once<'a>(
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
