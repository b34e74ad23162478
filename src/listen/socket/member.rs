//! Who a connection acts as, and what it does.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::room::{self, Room};

use crate::dialect::codec::{Action, Answer};
use crate::dialect::{Caller as Named, Dialect};
use crate::model::{ChatEvent, Command, Error, Reason, Result, UserName};
use crate::service::metrics::DoorCalls;
use crate::service::{Caller, ConnectionSession, Method, Next, Service};

/// The client of one connection. Dropped, its session ends.
pub(super) struct Member {
    service: Arc<Service>,
    calls: Arc<DoorCalls>,
    dialect: &'static Dialect,
    peer: SocketAddr,
    session: Option<ConnectionSession>,
    /// Of `chat`, once it has logged in.
    room: Option<Room>,
}

impl Member {
    /// A client that has said nothing yet.
    pub(super) fn new(
        service: Arc<Service>,
        calls: Arc<DoorCalls>,
        dialect: &'static Dialect,
        peer: SocketAddr,
    ) -> Self {
        Self { service, calls, dialect, peer, session: None, room: None }
    }

    /// Opens the session of a client that its port names, before it says anything.
    pub(super) async fn begin(&mut self) {
        if self.dialect.caller == Named::Port
            && let Err(error) = self.open_by_port().await
        {
            // It is tried again with the first request, which is told if that fails too.
            tracing::debug!(door = self.dialect.name, peer = %self.peer, %error, "a connection has no session yet");
        }
    }

    /// The dialect's name.
    pub(super) const fn door(&self) -> &'static str {
        self.dialect.name
    }

    /// The client's address.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it had a session that was ended: signed out, or by a manager. Nothing can come of
    /// the connection then.
    pub(super) fn is_over(&self) -> bool {
        self.session.as_ref().is_some_and(|held| held.session().has_ended())
    }

    /// Runs one action, and counts it as the call that it is.
    pub(super) async fn run(&mut self, action: Action) -> Answer {
        let method = match &action {
            Action::Run(command) => Some(Method::of(command)),
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

    async fn perform(&mut self, action: Action) -> Answer {
        let answer = match action {
            Action::Run(command) => self.execute(command).await,
            Action::SignIn(name) => self.sign_in(name).await.map(|()| None),
            Action::Join(name) => self.join(name).await.map(|()| None),
            Action::Post(text) => self.post(text).await.map(|()| None),
            Action::Log(line) => {
                tracing::info!(door = self.dialect.name, peer = %self.peer, "{line}");
                Ok(None)
            }
        };
        if let Err(error) = &answer
            && error.reason() == Reason::Internal
        {
            tracing::error!(door = self.dialect.name, peer = %self.peer, ?error, "internal error");
        }
        answer
    }

    async fn execute(&mut self, command: Command) -> Answer {
        if self.dialect.caller == Named::Port && self.session.is_none() {
            self.open_by_port().await?;
        }
        let caller = self.caller();
        let patience = self.service.limits().call_timeout;
        match timeout(patience, self.service.execute(&caller, command)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Err(Error::new(
                Reason::Deadline,
                "the request took too long; what it did is not known",
            )),
        }
    }

    async fn sign_in(&mut self, name: UserName) -> Result<()> {
        // The name that it had is free then, also for itself.
        if let Some(held) = self.session.take() {
            held.end().await;
        }
        self.session = Some(self.service.connect(&self.caller(), name).await?);
        Ok(())
    }

    async fn join(&mut self, name: UserName) -> Result<()> {
        self.sign_in(name).await?;
        match Room::join(&self.service, &self.caller()).await {
            Ok(room) => self.room = Some(room),
            Err(error) => {
                // Who is in no room has no name either: the client may try again.
                self.session = None;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn post(&self, text: String) -> Result<()> {
        match &self.room {
            Some(room) => room.say(&self.service, text).await,
            None => Err(room::nowhere()),
        }
    }

    /// What happens next in its room, for ever nothing if it is in none.
    pub(super) async fn next_event(&mut self) -> Next<ChatEvent> {
        match &mut self.room {
            Some(room) => room.next().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for the end of its session, for ever if it has none.
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
        Caller { session, door: self.dialect.name, source: self.peer.ip() }
    }
}
