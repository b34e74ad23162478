//! Shared data beside the users' records: the list of users, in the order in which
//! they came, and a secret.

use redis::{Value, cmd};

use crate::model::Result;
use crate::store::redis::RedisEngine;
use crate::store::redis::reply;
use crate::store::redis::router::Effect;
use crate::store::redis::topology::{slot_of, text};

impl RedisEngine {
    /// Adds a user to the list of all users, or removes it if it is not `there`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `OUTCOME_UNKNOWN`: it may be done.
    pub async fn count_user(&self, id: u64, there: bool) -> Result<()> {
        let (slot, key) = self.users_key();
        let mut command = cmd(if there { "ZADD" } else { "ZREM" });
        command.arg(&key);
        if there {
            command.arg(0);
        }
        command.arg(format!("{id:016x}"));
        self.0.router.run(slot, &command, Effect::WritesLocally).await.map(|_| ())
    }

    /// Returns the next users after this one, in the order of their ids; some may be gone.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn users_behind(&self, after: u64, size: usize) -> Result<Vec<u64>> {
        let (slot, key) = self.users_key();
        let mut command = cmd("ZRANGEBYLEX");
        command.arg(&key).arg(format!("({after:016x}")).arg("+").arg("LIMIT").arg(0).arg(size);
        let Value::Array(ids) = self.0.router.run(slot, &command, Effect::Reads).await? else {
            return Err(reply::unexpected("users"));
        };
        let id = |id: &Value| text(id).and_then(|id| u64::from_str_radix(&id, 16).ok());
        Ok(ids.iter().filter_map(id).collect())
    }

    /// Returns the secret that all servers on the engine share; the first server makes it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn secret(&self) -> Result<[u8; 32]> {
        let key = format!("{}:{{schema}}:secret", self.0.namespace);
        let slot = slot_of("schema");
        let fresh: [u8; 32] = rand::random();
        let mut set = cmd("SET");
        set.arg(&key).arg(fresh.as_slice()).arg("NX");
        self.0.router.run(slot, &set, Effect::WritesOnce).await?;
        match self.0.router.run(slot, cmd("GET").arg(&key), Effect::Reads).await? {
            Value::BulkString(secret) => {
                secret.try_into().map_err(|_| reply::unexpected("a secret"))
            }
            _ => Err(reply::unexpected("a secret")),
        }
    }
}
