//! Writes to another's store. That the store was used goes on record for its owner in the same
//! step; the caller's request ids lie with the caller, the answers to them with the owner.

use super::library::call;
use super::refusal;
use super::reply::{self, ReplyParts};
use super::request::{RememberedId, WriteKind, one, record_bytes, reserved};
use super::router::Effect;
use super::store::RedisStore;
use crate::model::{OperationRef, Operations, PutRef, Reason, RequestId, Result, UnixMillis};
use crate::store::Written;

/// Access to a store by another user, as its owner is told of it.
#[derive(Clone, Debug)]
pub struct RecordedAccess {
    /// User, protocol, RPC and key, encoded by the service.
    pub what: Vec<u8>,
    /// Role of the accessor.
    pub role: &'static str,
}

/// Request id that is reserved for a write, with its caller's ids.
pub struct RequestIdReservation {
    caller: RedisStore,
    id: RequestId,
    /// Time of the first reservation, if the id was reserved before.
    first: Option<UnixMillis>,
}

impl RequestIdReservation {
    /// Time of the first reservation, if there was one before this one.
    pub fn first(&self) -> Option<UnixMillis> {
        self.first
    }

    /// Forgets the id, since the write failed. If this fails too, the reservation ends after five
    /// minutes.
    pub async fn forget(self) {
        let _ = self.settle(None).await;
    }

    /// Records the bytes that the reply counts beside its record; `None`: the write failed.
    async fn settle(&self, read: Option<u64>) -> Result<()> {
        let mut settle = call("settle_reservation", &[&self.caller.0.answers]);
        settle.arg(self.id.as_str());
        if let Some(read) = read {
            settle.arg(read);
        }
        self.caller.0.run(&settle, Effect::WritesOnce).await.map(|_| ())
    }
}

impl RedisStore {
    /// Reserves a request id of this store's user, for a put to another user's store.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: the id may be reserved.
    pub async fn reserve(
        &self,
        id: &RequestId,
        fingerprint: &[u8; 16],
    ) -> Result<RequestIdReservation> {
        self.reserve_for(id, fingerprint, WriteKind::Put, 1).await
    }

    pub(super) async fn reserve_for(
        &self,
        id: &RequestId,
        fingerprint: &[u8; 16],
        kind: WriteKind,
        steps: usize,
    ) -> Result<RequestIdReservation> {
        let this = &self.0;
        let mut reservation = call("reserve", &[&this.answers]);
        reservation.arg(this.shared.now()).arg(id.as_str()).arg(fingerprint);
        reservation.arg(record_bytes(id.as_str(), kind, steps)).arg(kind.letter());
        let answer = this.run(&reservation, Effect::WritesOnce).await?;
        if let Some(first) = reserved(&answer) {
            return Ok(RequestIdReservation { caller: self.clone(), id: id.clone(), first });
        }
        match reply::outcome(answer)? {
            Ok(_) => Err(reply::unexpected("a reservation")),
            Err(refused) => Err(refusal::read(refused, &this.shared.limits, false)),
        }
    }

    /// Writes one key for another user than the owner, and puts that on record for the owner. With
    /// a reserved id and the payload's fingerprint it is done at most once.
    ///
    /// # Errors
    /// As [`Store::put`](crate::store::Store::put). The access is on record even then, unless the
    /// owner is gone (`SESSION_EXPIRED`).
    pub async fn put_other(
        &self,
        put: PutRef<'_>,
        access: &RecordedAccess,
        once: Option<(RequestIdReservation, [u8; 16])>,
    ) -> Result<Written> {
        let durability = self.durability();
        let read = |mut parts: ReplyParts| Ok(Written { revision: parts.number()?, durability });
        let operations = one(OperationRef::Put(put));
        match once {
            None => self.write(WriteKind::Put, &operations, None, Some(access), &read).await,
            Some(once) => {
                self.write_reserved(WriteKind::Put, &operations, once, Some(access), &read).await
            }
        }
    }

    /// Runs a write at most once, by a reserved id.
    pub(super) async fn write_reserved<T>(
        &self,
        kind: WriteKind,
        operations: &Operations,
        (reservation, fingerprint): (RequestIdReservation, [u8; 16]),
        access: Option<&RecordedAccess>,
        read: &impl Fn(ReplyParts) -> Result<T>,
    ) -> Result<T> {
        let name = format!("{}:{}", reservation.caller.0.id, reservation.id.as_str());
        let record = record_bytes(reservation.id.as_str(), kind, operations.len());
        let id =
            RememberedId { key: &self.0.foreign, id: &name, fingerprint: &fingerprint, record };
        let done = self.write(kind, operations, Some(id), access, read).await;
        match &done {
            Err(error) if error.reason() == Reason::OutcomeUnknown => {}
            // Failures are not remembered.
            Err(_) => reservation.forget().await,
            Ok(_) if kind == WriteKind::Batch => {
                let read = self.remembered(&name).await?;
                let _ = reservation.settle(Some(read)).await;
            }
            Ok(_) => {}
        }
        done
    }

    /// Bytes that the reply to a foreign id counts beside its record.
    async fn remembered(&self, name: &str) -> Result<u64> {
        let mut command = call("reply_bytes", &[&self.0.foreign]);
        command.arg(name);
        ReplyParts::new(vec![self.0.run(&command, Effect::Reads).await?]).number()
    }

    /// Refuses an id that was first used before this store was made: it was used for the store of
    /// another user of the same name.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`.
    pub fn check_age(&self, reservation: &RequestIdReservation) -> Result<()> {
        match reservation.first() {
            Some(first) if super::users::made_at(self.0.id) > first => Err(refusal::reused()),
            Some(_) | None => Ok(()),
        }
    }
}
