//! The access logs of shared stores, which the engine keeps.

use serde_json::{Value as Json, json};

use super::SharedRegistry;
use crate::model::{Access, Error, Method, Result, Role, User as UserView};
use crate::service::access_log::AccessRow;
use crate::service::user::User;

impl SharedRegistry {
    /// Records an access to the owner's store.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(in super::super) async fn record_access(
        &self,
        owner: &User,
        row: &AccessRow,
        role: Role,
    ) -> Result<()> {
        self.engine.record_access(owner.id, &encode(row), role.as_str()).await
    }

    /// Returns the latest accesses to the owner's store before the position `before`, and the
    /// position of the last of them if there are more.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(in super::super) async fn accesses(
        &self,
        owner: &User,
        before: Option<u64>,
        size: usize,
    ) -> Result<(Vec<Access>, Option<u64>)> {
        let mut rows = self.engine.accesses(owner.id, before, size + 1).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().map(|row| row.order).filter(|_| more);
        let mut accesses = Vec::with_capacity(rows.len());
        for row in rows {
            let parts: Vec<Json> = serde_json::from_slice(&row.what).map_err(Error::internal)?;
            let part =
                |at: usize| parts.get(at).and_then(Json::as_str).unwrap_or_default().to_owned();
            let role = if row.role == Role::Manager.as_str() { Role::Manager } else { Role::Guest };
            let method =
                Method::ALL.iter().map(|method| method.name()).find(|name| *name == part(3));
            accesses.push(Access {
                user: UserView { name: part(0), role },
                account: part(1),
                protocol: part(2).into(),
                method: method.unwrap_or_default(),
                key: part(4),
                count: row.count,
                first_time: row.first,
                last_time: row.last,
            });
        }
        Ok((accesses, last))
    }
}

/// Encodes a row for the engine, as a JSON array of its parts.
pub(super) fn encode(row: &AccessRow) -> Vec<u8> {
    json!([row.user, row.account, row.protocol, row.method, row.key]).to_string().into_bytes()
}
