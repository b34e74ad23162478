//! Sessions of connections: those of the legacy socket protocols, which have no tokens.

use std::net::SocketAddr;
use std::sync::Arc;

use super::authorize::Caller;
use super::session::{ExpiryPolicy, Session};
use super::{Service, token};
use crate::model::{Reason, Result, UserName};

/// Guest's session that ends on drop, with its user's name and store.
pub struct ConnectionSession {
    service: Arc<Service>,
    session: Arc<Session>,
}

impl ConnectionSession {
    /// Returns the session.
    pub const fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Ends the session, and waits until its name is free.
    pub async fn end(self) {
        let registry = &self.service.registry;
        if let Err(error) = registry.close(&self.session).await {
            tracing::debug!(
                ?error,
                "a connection's session could not be ended; it goes with its lease"
            );
            registry.end_here(&self.session);
        }
    }
}

impl Drop for ConnectionSession {
    fn drop(&mut self) {
        self.service.registry.close_in_background(&self.session);
    }
}

impl Service {
    /// Opens a session for a connection whose client says its name. It counts as a sign-in of its
    /// source.
    ///
    /// # Errors
    /// `INVALID_NAME` for a name that only a socket can have, or that looks like an account's;
    /// `NAME_IN_USE`; `RATE_LIMITED`; `SERVER_FULL`.
    pub async fn connect(
        self: &Arc<Self>,
        caller: &Caller,
        name: UserName,
    ) -> Result<ConnectionSession> {
        self.rates.sign_in(caller.source)?;
        self.refuse_unfree_name(&name)?;
        self.open_connection(name).await
    }

    /// Opens a session for a connection that is named by its peer's port, or by `ip:port` if that
    /// name is in use. It counts as a sign-in of its source.
    ///
    /// # Errors
    /// `NAME_IN_USE` if both are; `RATE_LIMITED`; `SERVER_FULL`.
    pub async fn connect_socket(
        self: &Arc<Self>,
        caller: &Caller,
        peer: SocketAddr,
    ) -> Result<ConnectionSession> {
        self.rates.sign_in(caller.source)?;
        match self.open_connection(UserName::new(peer.port().to_string())?).await {
            Err(error) if error.reason() == Reason::NameInUse => {
                self.open_connection(UserName::new(peer.to_string())?).await
            }
            opened => opened,
        }
    }

    async fn open_connection(self: &Arc<Self>, name: UserName) -> Result<ConnectionSession> {
        // The token is discarded; its hash only places the session in the table.
        let (_, hash) = token::generate();
        let expiry = ExpiryPolicy::Connection;
        let session = self.registry.open_guest(&name, hash, expiry, self.clock.now()).await?;
        Ok(ConnectionSession { service: Arc::clone(self), session })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::request::{ListAccesses, WhoAmI};
    use crate::model::{Identity, Limits, Page, UpgradePolicy};
    use crate::service::Options;
    use crate::store::{Clock, Engine, MemoryEngine};

    fn service(sessions: u64) -> Arc<Service> {
        let limits = Limits { sessions, ..Limits::default() };
        let clock = Clock::system();
        let engine = Engine::Memory(MemoryEngine::new(clock.clone(), (&limits).into()));
        Arc::new(
            Service::new(Options {
                accounts: Vec::new(),
                upgrade_policy: UpgradePolicy::Managers,
                limits,
                clock,
                engine,
            })
            .unwrap(),
        )
    }

    fn caller(session: Option<Arc<Session>>) -> Caller {
        Caller { session, protocol: "text", source: IpAddr::from([127, 0, 0, 1]) }
    }

    #[tokio::test]
    async fn a_connections_name_is_its_port_then_its_address_and_free_when_it_ends() {
        let (service, peer) = (service(3), SocketAddr::from(([127, 0, 0, 1], 48_106)));
        let nobody = caller(None);
        let connect = || service.connect_socket(&nobody, peer);
        let first = connect().await.unwrap();
        let second = connect().await.unwrap();
        assert_eq!(first.session().user.name.as_str(), "48106");
        assert_eq!(second.session().user.name.as_str(), "127.0.0.1:48106");
        assert_eq!(connect().await.err().unwrap().reason(), Reason::NameInUse);
        drop(first);
        assert_eq!(connect().await.unwrap().session().user.name.as_str(), "48106");
    }

    #[tokio::test]
    async fn connections_count_against_the_sessions_and_end_with_their_guard() {
        let service = service(1);
        let name = |name: &str| UserName::new(name).unwrap();
        let held = service.connect(&caller(None), name("anuran")).await.unwrap();
        for (other, reason) in [
            ("Anuran", Reason::NameInUse),
            ("eve", Reason::ServerFull),
            ("17", Reason::InvalidName),
        ] {
            assert_eq!(
                service.connect(&caller(None), name(other)).await.err().unwrap().reason(),
                reason,
                "{other}"
            );
        }
        service.sweep();
        let me = caller(Some(Arc::clone(held.session())));
        assert!(matches!(service.execute(&me, WhoAmI).await, Ok(Identity { .. })));
        drop(held);
        let over = service.execute(&me, ListAccesses { page: Page::default() }).await;
        assert_eq!(over.unwrap_err().reason(), Reason::SessionExpired);
        service.connect(&caller(None), name("eve")).await.unwrap();
    }
}
