//! Roles, and who the caller is.

use super::Service;
use super::authorize::Caller;
use super::method::Method;
use super::user::{Standing, User};
use crate::model::{Reply, Result, ServerInfo, UserName};

impl Service {
    pub(super) async fn upgrade(&self, caller: &Caller, user: Option<&UserName>) -> Result<Reply> {
        let target = self.authorize(caller, Method::Upgrade, user).await?;
        let session = caller.session()?;
        if target.id == session.user.id {
            // By its own word it becomes no more than that. A manager stays one: `promote` never
            // lowers.
            if session.standing() == Standing::Guest {
                self.raise(&target, Standing::SelfPromoted).await?;
            }
            return Ok(Reply::User(session.view()));
        }
        self.raise(&target, Standing::Manager).await?;
        Ok(Reply::User(target.view()))
    }

    async fn raise(&self, user: &User, standing: Standing) -> Result<()> {
        if let Some(shared) = &self.shared {
            shared.raise(user, standing).await?;
        }
        user.promote(standing);
        Ok(())
    }

    pub(super) async fn downgrade(
        &self,
        caller: &Caller,
        user: &UserName,
        end_sessions: bool,
    ) -> Result<Reply> {
        let target = self.authorize(caller, Method::Downgrade, Some(user)).await?;
        if let Some(shared) = &self.shared {
            shared.lower(&target, end_sessions).await?;
        }
        target.demote();
        if end_sessions {
            for session in target.sessions() {
                self.end_session(&session);
            }
        }
        Ok(Reply::User(target.view()))
    }

    pub(super) fn who_am_i(&self, caller: &Caller) -> Result<Reply> {
        let session = caller.session()?;
        Ok(Reply::WhoAmI {
            user: session.view(),
            expire_time: session.expire_time(self.clock.now()),
            upgrade_policy: self.upgrade_policy,
        })
    }

    pub(super) fn server_info(&self) -> Reply {
        Reply::ServerInfo(Box::new(ServerInfo {
            store_engine: self.engine.name(),
            durability: self.engine.durability(),
            upgrade_policy: self.upgrade_policy,
            limits: self.limits.clone(),
            doors: self.doors.get().cloned().unwrap_or_default(),
        }))
    }
}
