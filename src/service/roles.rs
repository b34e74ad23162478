//! Roles, and who the caller is.

use super::Service;
use super::authorize::{Handle, Subject};
use super::user::Privilege;
use crate::model::request::{Downgrade, GetServerInfo, Upgrade, WhoAmI};
use crate::model::{Identity, Result, ServerInfo, User as UserView};

impl Handle<Upgrade> for Service {
    async fn handle(&self, subject: Subject<'_>, _: Upgrade) -> Result<UserView> {
        let target = self.owner(&subject).await?;
        let session = subject.session()?;
        if target.id == session.user.id {
            // A manager stays one: `promote` never lowers.
            if session.privilege() == Privilege::Guest {
                self.registry.raise(&target, Privilege::SelfPromoted).await?;
            }
            return Ok(session.view());
        }
        self.registry.raise(&target, Privilege::Manager).await?;
        Ok(target.view())
    }
}

impl Handle<Downgrade> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Downgrade) -> Result<UserView> {
        let target = self.owner(&subject).await?;
        self.registry.lower(&target, request.end_sessions).await?;
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
