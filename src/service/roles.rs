//! Roles, and who the caller is.

use super::Service;
use super::authorize::{Handle, Subject};
use super::user::{Standing, User};
use crate::model::request::{Downgrade, GetServerInfo, Upgrade, WhoAmI};
use crate::model::{Identity, Result, ServerInfo, User as UserView};

impl Handle<Upgrade> for Service {
    async fn handle(&self, subject: Subject<'_>, _: Upgrade) -> Result<UserView> {
        let target = self.owner(&subject).await?;
        let session = subject.session()?;
        if target.id == session.user.id {
            // A manager stays one: `promote` never lowers.
            if session.standing() == Standing::Guest {
                self.raise(&target, Standing::SelfPromoted).await?;
            }
            return Ok(session.view());
        }
        self.raise(&target, Standing::Manager).await?;
        Ok(target.view())
    }
}

impl Handle<Downgrade> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Downgrade) -> Result<UserView> {
        let target = self.owner(&subject).await?;
        if let Some(shared) = &self.shared {
            shared.lower(&target, request.end_sessions).await?;
        }
        target.demote();
        if request.end_sessions {
            for session in target.sessions() {
                self.end_session(&session);
            }
        }
        Ok(target.view())
    }
}

impl Handle<WhoAmI> for Service {
    async fn handle(&self, subject: Subject<'_>, _: WhoAmI) -> Result<Identity> {
        let session = subject.session()?;
        Ok(Identity {
            user: session.view(),
            expire_time: session.expire_time(self.clock.now()),
            upgrade_policy: self.upgrade_policy,
        })
    }
}

impl Handle<GetServerInfo> for Service {
    async fn handle(&self, _: Subject<'_>, _: GetServerInfo) -> Result<Box<ServerInfo>> {
        Ok(Box::new(self.server_info()))
    }
}

impl Service {
    async fn raise(&self, user: &User, standing: Standing) -> Result<()> {
        if let Some(shared) = &self.shared {
            shared.raise(user, standing).await?;
        }
        user.promote(standing);
        Ok(())
    }

    fn server_info(&self) -> ServerInfo {
        ServerInfo {
            store_engine: self.engine.name(),
            durability: self.engine.durability(),
            upgrade_policy: self.upgrade_policy,
            limits: self.limits.clone(),
            listeners: self.listeners.get().cloned().unwrap_or_default(),
        }
    }
}
