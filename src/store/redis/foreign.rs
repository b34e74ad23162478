//! Writes to another's store. That the store was used goes on record for its owner in the same
//! step; the caller's request ids lie with the caller, the answers to them with the owner.

use super::library::call;
use super::link::Effect;
use super::refusal;
use super::reply::{self, Parts};
use super::request::{Kind, RememberedId, claimed, one, record_bytes};
use super::store::RedisStore;
use crate::model::{OperationRef, Operations, PutRef, Reason, RequestId, Result, UnixMillis};
use crate::store::Written;

/// What the owner is told of a write.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who does what: packed by the service.
    pub what: Vec<u8>,
    /// The role in which it is done.
    pub role: &'static str,
}

/// A request id that is noted as used, where its caller's ids are.
pub struct Claim {
    caller: RedisStore,
    id: RequestId,
    /// When it was first claimed, if that was before.
    first: Option<UnixMillis>,
}

impl Claim {
    /// When the id was first claimed, if that was before this time.
    pub fn first(&self) -> Option<UnixMillis> {
        self.first
    }

    /// Forgets the id: the write failed. The claim goes by itself after five minutes if this fails.
    pub async fn forget(self) {
        let _ = self.settle(None).await;
    }

    /// Notes what the answer counts beside its record; `None`: the write failed.
    async fn settle(&self, read: Option<u64>) -> Result<()> {
        let mut settle = call("settle", &[&self.caller.0.answers]);
        settle.arg(self.id.as_str());
        if let Some(read) = read {
            settle.arg(read);
        }
        self.caller.0.run(&settle, Effect::WritesOnce).await.map(|_| ())
    }
}

impl RedisStore {
    /// Notes that this store's user uses a request id for a put to another's.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`; the engine cannot be reached, or does not say.
    pub async fn claim(&self, id: &RequestId, fingerprint: &[u8; 16]) -> Result<Claim> {
        self.claim_for(id, fingerprint, Kind::Put, 1).await
    }

    pub(super) async fn claim_for(
        &self,
        id: &RequestId,
        fingerprint: &[u8; 16],
        kind: Kind,
        steps: usize,
    ) -> Result<Claim> {
        let this = &self.0;
        let mut claim = call("claim", &[&this.answers]);
        claim.arg(this.shared.now()).arg(id.as_str()).arg(fingerprint);
        claim.arg(record_bytes(id.as_str(), kind, steps)).arg(kind.letter());
        let answer = this.run(&claim, Effect::WritesOnce).await?;
        if let Some(first) = claimed(&answer) {
            return Ok(Claim { caller: self.clone(), id: id.clone(), first });
        }
        match reply::outcome(answer)? {
            Ok(_) => Err(reply::strange("a claim")),
            Err(refused) => Err(refusal::read(refused, &this.shared.limits, false)),
        }
    }

    /// A put by another user than the owner, who is told of it. With a claimed id and what tells
    /// its payload from others it is done once.
    ///
    /// # Errors
    /// As [`Store::put`](crate::store::Store::put). It is on record for the owner nevertheless,
    /// unless the owner has gone.
    pub async fn put_visited(
        &self,
        put: PutRef<'_>,
        visit: &Visit,
        once: Option<(Claim, [u8; 16])>,
    ) -> Result<Written> {
        let durability = self.durability();
        let read = |mut parts: Parts| Ok(Written { revision: parts.number()?, durability });
        let operations = one(OperationRef::Put(put));
        match once {
            None => self.write(Kind::Put, &operations, None, Some(visit), &read).await,
            Some(once) => {
                self.write_claimed(Kind::Put, &operations, once, Some(visit), &read).await
            }
        }
    }

    /// Writes once what an id was claimed for.
    pub(super) async fn write_claimed<T>(
        &self,
        kind: Kind,
        operations: &Operations,
        (claim, fingerprint): (Claim, [u8; 16]),
        visit: Option<&Visit>,
        read: &impl Fn(Parts) -> Result<T>,
    ) -> Result<T> {
        let name = format!("{}:{}", claim.caller.0.id, claim.id.as_str());
        let record = record_bytes(claim.id.as_str(), kind, operations.len());
        let id =
            RememberedId { key: &self.0.foreign, id: &name, fingerprint: &fingerprint, record };
        let done = self.write(kind, operations, Some(id), visit, read).await;
        match &done {
            Err(error) if error.reason() == Reason::OutcomeUnknown => {}
            // Failures are not remembered.
            Err(_) => claim.forget().await,
            Ok(_) if kind == Kind::Batch => {
                let read = self.remembered(&name).await?;
                let _ = claim.settle(Some(read)).await;
            }
            Ok(_) => {}
        }
        done
    }

    /// What the answer to a foreign id counts beside its record.
    async fn remembered(&self, name: &str) -> Result<u64> {
        let mut command = call("weigh", &[&self.0.foreign]);
        command.arg(name);
        Parts::new(vec![self.0.run(&command, Effect::Reads).await?]).number()
    }

    /// Refuses an id that was first used before this store was made: what it was used for was
    /// another's of the same name.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`.
    pub fn check_age(&self, claim: &Claim) -> Result<()> {
        match claim.first() {
            Some(first) if super::people::made_at(self.0.id) > first => Err(refusal::reused()),
            Some(_) | None => Ok(()),
        }
    }
}
