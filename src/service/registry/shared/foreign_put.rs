//! Puts to another user's store, where the names, the caller's request ids and the store may be
//! kept at different nodes: two round trips.

use futures_util::future::join;

use super::SharedRegistry;
use super::access_log::encode;
use crate::model::request::Put;
use crate::model::{Error, Result, UserName, Written};
use crate::service::access_log::AccessRow;
use crate::service::authorize::Subject;
use crate::service::fingerprint::Fingerprint;
use crate::service::key_value::resolve;
use crate::store::Backend;
use crate::store::redis::{RecordedAccess, RedisStore};

impl SharedRegistry {
    /// Records the access and puts the entry into another user's store. The owner is looked up
    /// while the request id is reserved at the caller's node, so the reservation is made with the
    /// fingerprint of the owner's name and not of its id.
    ///
    /// # Errors
    /// As [`Registry::put_other`](super::super::Registry::put_other).
    pub(in super::super) async fn put_other(
        &self,
        subject: &Subject<'_>,
        name: &UserName,
        put: &Put,
    ) -> Result<Written> {
        let method = subject.method();
        let own = redis(&subject.session()?.user.store)?;
        let named = Fingerprint::named(method.name(), name.folded()).put(put).finish();
        let reserve = async {
            match &put.request_id {
                Some(id) => own.reserve(id, &named).await.map(Some),
                None => Ok(None),
            }
        };
        let find_owner = async { subject.admit(name, self.find_user(name).await?) };
        let (owner, reservation) = match join(find_owner, reserve).await {
            (Ok(owner), reservation) => (owner, reservation?),
            (Err(error), reservation) => {
                // An earlier reservation stays: its write may have been done.
                let new = reservation.ok().flatten().filter(|made| made.first().is_none());
                if let Some(reservation) = new {
                    reservation.forget().await;
                }
                return Err(error);
            }
        };
        let store = redis(&owner.store)?;
        if let Some(reservation) = &reservation {
            store.check_age(reservation)?;
        }
        let (row, role) = AccessRow::of(subject, put.key.as_str())?;
        let once = reservation.map(|reservation| {
            (reservation, Fingerprint::of(method.name(), owner.id).put(put).finish())
        });
        let resolved = match resolve(put, &self.clock) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.record_access(&owner, &row, role).await?;
                if let Some((reservation, _)) = once {
                    reservation.forget().await;
                }
                return Err(error);
            }
        };
        let access = RecordedAccess { what: encode(&row), role: role.as_str() };
        store.put_other(resolved, &access, once).await
    }
}

/// Returns the Redis store that a shared user has.
///
/// # Errors
/// `INTERNAL` for any other store.
fn redis(store: &Backend) -> Result<&RedisStore> {
    match store {
        Backend::Redis(store) => Ok(store),
        Backend::Memory(_) => {
            Err(Error::internal("a shared user's store is in this process's memory"))
        }
    }
}
