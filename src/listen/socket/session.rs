//! The session of one socket connection: its identity and the actions that it runs.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::room::{self, JoinedRoom};

use crate::dialect::codec::{Action, ActionResult};
use crate::dialect::{ClientIdentity, Dialect};
use crate::model::{ChatEvent, Command, Error, Method, Reason, Result, UserName};
use crate::service::metrics::ProtocolCalls;
use crate::service::{Caller, ConnectionSession, FeedItem, Service};

/// Identity of one connection. Its service session ends on drop.
pub(super) struct SocketSession {
    service: Arc<Service>,
    calls: Arc<ProtocolCalls>,
    dialect: &'static Dialect,
    peer: SocketAddr,
    session: Option<ConnectionSession>,
    /// Room of a `chat` connection that has signed in.
    room: Option<JoinedRoom>,
}

impl SocketSession {
    /// Creates the session of a client that has sent nothing yet.
    pub(super) fn new(
        service: Arc<Service>,
        calls: Arc<ProtocolCalls>,
        dialect: &'static Dialect,
        peer: SocketAddr,
    ) -> Self {
        Self { service, calls, dialect, peer, session: None, room: None }
    }

    /// Opens the service session of a client that is named by its port, before its first request.
    pub(super) async fn begin(&mut self) {
        if self.dialect.identity == ClientIdentity::Port
            && let Err(error) = self.open_by_port().await
        {
            // The first request tries again, and reports the error if that fails too.
            let (protocol, peer) = (self.dialect.name, self.peer);
            tracing::debug!(protocol, %peer, %error, "a connection has no session yet");
        }
    }

    /// Returns the protocol's name.
    pub(super) const fn protocol(&self) -> &'static str {
        self.dialect.name
    }

    /// Returns the client's address.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Returns true if the service session was ended by a sign-out or by a manager; the connection
    /// is then of no further use.
    pub(super) fn is_over(&self) -> bool {
        self.session.as_ref().is_some_and(|held| held.session().has_ended())
    }

    /// Runs one action and records it in the metrics of the RPC that it corresponds to.
    pub(super) async fn run(&mut self, action: Action) -> ActionResult {
        let method = match &action {
            Action::Run(command) => Some(command.method()),
            Action::SignIn(_) | Action::Join(_) => Some(Method::SignIn),
            Action::Post(_) => Some(Method::Send),
            Action::Log(_) => None,
        };
        let started = Instant::now();
        let answer = self.perform(action).await;
        if let Some(method) = method {
            self.calls.answered(method, started.elapsed());
            if let Err(error) = &answer {
                self.calls.failed(method, error.reason());
            }
        }
        answer
    }

    async fn perform(&mut self, action: Action) -> ActionResult {
        let answer = match action {
            Action::Run(command) => self.execute(command).await,
            Action::SignIn(name) => self.sign_in(name).await.map(|()| None),
            Action::Join(name) => self.join(name).await.map(|()| None),
            Action::Post(text) => self.post(text).await.map(|()| None),
            Action::Log(line) => {
                tracing::info!(protocol = self.dialect.name, peer = %self.peer, "{line}");
                Ok(None)
            }
        };
        if let Err(error) = &answer
            && error.reason() == Reason::Internal
        {
            let (protocol, peer) = (self.dialect.name, self.peer);
            tracing::error!(protocol, %peer, ?error, "internal error");
        }
        answer
    }

    async fn execute(&mut self, command: Command) -> ActionResult {
        if self.dialect.identity == ClientIdentity::Port && self.session.is_none() {
            self.open_by_port().await?;
        }
        let caller = self.caller();
        let patience = self.service.limits().call_timeout;
        match timeout(patience, self.service.execute_command(&caller, command)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Err(Error::new(
                Reason::Deadline,
                "the request took too long; what it did is not known",
            )),
        }
    }

    async fn sign_in(&mut self, name: UserName) -> Result<()> {
        // This releases the connection's previous name, which may be the requested one.
        if let Some(held) = self.session.take() {
            held.end().await;
        }
        self.session = Some(self.service.connect(&self.caller(), name).await?);
        Ok(())
    }

    async fn join(&mut self, name: UserName) -> Result<()> {
        self.sign_in(name).await?;
        match JoinedRoom::join(&self.service, &self.caller()).await {
            Ok(room) => self.room = Some(room),
            Err(error) => {
                // A client that is in no room has no name either, and may try again.
                self.session = None;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn post(&self, text: String) -> Result<()> {
        match &self.room {
            Some(room) => room.post(&self.service, text).await,
            None => Err(room::not_in_a_room()),
        }
    }

    /// Returns the next event of the room; pending for ever if the connection is in no room.
    pub(super) async fn next_event(&mut self) -> FeedItem<ChatEvent> {
        match &mut self.room {
            Some(room) => room.next().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for the end of the service session; pending for ever if there is none.
    pub(super) fn end_of_session(&self) -> impl Future<Output = ()> + Send + use<> {
        let ended = self.session.as_ref().map(|held| held.session().end_signal());
        async move {
            match ended {
                Some(ended) => ended.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }

    async fn open_by_port(&mut self) -> Result<()> {
        self.session = Some(self.service.connect_socket(&self.caller(), self.peer).await?);
        Ok(())
    }

    fn caller(&self) -> Caller {
        let session = self.session.as_ref().map(|held| Arc::clone(held.session()));
        Caller { session, protocol: self.dialect.name, source: self.peer.ip() }
    }
}
