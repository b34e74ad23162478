//! Writes to another's store, where the names, the caller's request ids and the store lie at
//! different nodes: two round trips.

use futures_util::future::join;

use super::Shared;
use crate::model::request::Put;
use crate::model::{Error, Result, UserName, Written};
use crate::service::Service;
use crate::service::authorize::Subject;
use crate::service::fingerprint::Fingerprint;
use crate::store::Backend;
use crate::store::redis::{RecordedAccess, RedisStore};

impl Service {
    /// A put to the store of another, which the rule allows as far as it says without looking for
    /// that user. The name is looked up while the request id is noted with the caller, so by that
    /// name and not yet by the user who has it.
    pub(in crate::service) async fn put_other(
        &self,
        shared: &Shared,
        subject: &Subject<'_>,
        name: &UserName,
        put: Put,
    ) -> Result<Written> {
        let method = subject.method();
        let own = redis(&subject.session()?.user.store)?;
        let named = Fingerprint::named(method.name(), name.folded()).put(&put).finish();
        let claim = async {
            match &put.request_id {
                Some(id) => own.reserve(id, &named).await.map(Some),
                None => Ok(None),
            }
        };
        let (owner, claim) = join(self.owner(subject), claim).await;
        let (owner, claim) = match (owner, claim) {
            (Ok(owner), claim) => (owner, claim?),
            (Err(error), claim) => {
                // What was claimed before stands for a write that may have been done.
                if let Some(claim) = claim.ok().flatten().filter(|claim| claim.first().is_none()) {
                    claim.forget().await;
                }
                return Err(error);
            }
        };
        let store = redis(&owner.store)?;
        if let Some(claim) = &claim {
            store.check_age(claim)?;
        }
        let (what, role) = Self::access(subject, put.key.as_str())?;
        let once =
            claim.map(|claim| (claim, Fingerprint::of(method.name(), owner.id).put(&put).finish()));
        let resolved = match self.resolve(&put) {
            Ok(resolved) => resolved,
            Err(error) => {
                shared.record_access(&owner, &what, role).await?;
                if let Some((claim, _)) = once {
                    claim.forget().await;
                }
                return Err(error);
            }
        };
        let access = RecordedAccess { what: what.packed(), role: role.as_str() };
        store.put_other(resolved, &access, once).await
    }
}

/// The stores of users that are shared are all in Redis.
fn redis(store: &Backend) -> Result<&RedisStore> {
    match store {
        Backend::Redis(store) => Ok(store),
        Backend::Memory(_) => {
            Err(Error::internal("a shared user's store is in this process's memory"))
        }
    }
}
