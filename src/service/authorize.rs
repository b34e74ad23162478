//! Authorisation: the one place that decides which caller may make which call.

use std::net::IpAddr;
use std::sync::Arc;

use super::Service;
use super::session::Session;
use super::user::{Privilege, User};
use crate::model::{Error, Method, Permission, Reason, Request, Result, UpgradePolicy, UserName};

/// A caller, before it is authorised.
#[derive(Clone)]
pub struct Caller {
    /// Session, or `None` if the call brought no token.
    pub session: Option<Arc<Session>>,
    /// Protocol of the call: `grpc`, or the name of a legacy protocol.
    pub protocol: &'static str,
    /// Address that the call comes from.
    pub source: IpAddr,
}

impl Caller {
    /// Returns its session.
    ///
    /// # Errors
    /// `SESSION_REQUIRED` if it has none; `SESSION_EXPIRED` if it was ended.
    pub fn session(&self) -> Result<&Arc<Session>> {
        match &self.session {
            Some(session) if session.has_ended() => Err(session_expired()),
            Some(session) => Ok(session),
            None => Err(session_required()),
        }
    }
}

pub(super) fn session_required() -> Error {
    Error::new(
        Reason::SessionRequired,
        "no session; call AuthService.SignIn and send `authorization: Bearer TOKEN` with the \
         token of the reply",
    )
}

pub(super) fn session_expired() -> Error {
    Error::new(Reason::SessionExpired, "the session has ended; sign in again")
}

fn manager_required(sentence: impl Into<String>) -> Error {
    Error::new(Reason::ManagerRequired, sentence.into())
}

/// Returns the refusal of an RPC that only managers may call.
fn managers_only(method: Method) -> Error {
    let sentences = [
        (Method::ListUsers, "only a manager may list the users"),
        (Method::Downgrade, "only a manager may make a manager a guest"),
        (Method::Upgrade, "only a manager may make another user a manager"),
    ];
    match sentences.iter().find(|(of, _)| *of == method) {
        Some((_, sentence)) => manager_required(*sentence),
        None => manager_required(format!("only a manager may call {}", method.name())),
    }
}

/// A caller that was admitted to an RPC. Only `Service::authorize` makes one, so a handler that
/// has it acts for an authorised caller.
pub struct Subject<'a> {
    caller: &'a Caller,
    method: Method,
    target: Target,
}

/// The user whom an authorised call is about.
enum Target {
    Caller,
    /// Another user, or a user to be looked up by name.
    Named {
        name: UserName,
        /// True if the caller may not have an account's store.
        guests_only: bool,
    },
}

impl<'a> Subject<'a> {
    /// Returns the caller's session.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, for an RPC that is open to callers without one; `SESSION_EXPIRED`.
    pub(super) fn session(&self) -> Result<&'a Arc<Session>> {
        self.caller.session()
    }

    /// Returns the caller.
    pub(super) const fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// Returns the RPC that the caller was admitted to.
    pub(super) const fn method(&self) -> Method {
        self.method
    }

    /// Returns the name of the user whom the call is about, if it is not the caller.
    pub(super) const fn other(&self) -> Option<&UserName> {
        match &self.target {
            Target::Caller => None,
            Target::Named { name, .. } => Some(name),
        }
    }

    /// Returns the user who was found under the name that was asked for.
    ///
    /// # Errors
    /// `USER_NOT_FOUND` if there was none; `MANAGER_REQUIRED` for an account that the caller may
    /// not read.
    pub(super) fn admit(&self, name: &UserName, found: Option<Arc<User>>) -> Result<Arc<User>> {
        let user = found.ok_or_else(|| {
            Error::new(Reason::UserNotFound, format!("there is no user {:?}", name.as_str()))
        })?;
        self.admits(&user)?;
        Ok(user)
    }

    /// Checks that the call may be about this user, who has the name that was asked for.
    ///
    /// # Errors
    /// `MANAGER_REQUIRED`.
    pub(super) fn admits(&self, user: &User) -> Result<()> {
        match &self.target {
            Target::Named { guests_only: true, .. } if user.account => {
                Err(manager_required("a self-promoted manager may not read an account's store"))
            }
            Target::Caller | Target::Named { .. } => Ok(()),
        }
    }
}

/// The work of one RPC, behind [`Service::execute`].
pub trait Handle<R: Request> {
    /// Does what an authorised caller asks.
    ///
    /// # Errors
    /// The errors that the contract lists for the RPC.
    fn handle(
        &self,
        subject: Subject<'_>,
        request: R,
    ) -> impl Future<Output = Result<R::Reply>> + Send;
}

impl Service {
    /// Does what the caller asks, if the table of RPCs allows it.
    ///
    /// # Errors
    /// The errors that the contract lists for the RPC.
    pub async fn execute<R: Request>(&self, caller: &Caller, request: R) -> Result<R::Reply>
    where
        Self: Handle<R>,
    {
        let subject = self.authorize(caller, R::METHOD, request.target())?;
        self.handle(subject, request).await
    }

    /// Returns the row of the table of RPCs that this server goes by.
    pub const fn permission(&self, method: Method) -> Permission {
        self.permissions.of(method)
    }

    /// Admits a caller to an RPC on the user named, or on itself if none is.
    ///
    /// A caller that is not admitted is told so before anybody looks up that user.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `MANAGER_REQUIRED`, `UPGRADE_NOT_ALLOWED`.
    pub(super) fn authorize<'a>(
        &self,
        caller: &'a Caller,
        method: Method,
        target: Option<&UserName>,
    ) -> Result<Subject<'a>> {
        let permission = self.permission(method);
        let target = match permission {
            Permission::Open => Target::Caller,
            Permission::OptionalSession if caller.session.is_none() => Target::Caller,
            Permission::OptionalSession
            | Permission::Session
            | Permission::OwnOrManager
            | Permission::Manager
            | Permission::Promotion => {
                self.target(caller.session()?, permission, method, target)?
            }
        };
        Ok(Subject { caller, method, target })
    }

    /// Applies an RPC's permission to a caller with a session.
    fn target(
        &self,
        session: &Session,
        permission: Permission,
        method: Method,
        target: Option<&UserName>,
    ) -> Result<Target> {
        let own = target.is_none_or(|name| *name == session.user.name);
        let named = |guests_only| match target {
            Some(name) => Target::Named { name: name.clone(), guests_only },
            None => Target::Caller,
        };
        let is_manager = session.privilege() == Privilege::Manager;
        match permission {
            Permission::Open | Permission::OptionalSession | Permission::Session => {
                Ok(Target::Caller)
            }
            Permission::OwnOrManager if own => Ok(Target::Caller),
            Permission::OwnOrManager => others_store(session, method).map(named),
            Permission::Promotion if own => {
                self.self_promotion(session)?;
                Ok(Target::Caller)
            }
            Permission::Manager | Permission::Promotion if is_manager => Ok(named(false)),
            Permission::Manager | Permission::Promotion => Err(managers_only(method)),
        }
    }

    fn self_promotion(&self, session: &Session) -> Result<()> {
        if session.privilege() == Privilege::Guest && self.upgrade_policy == UpgradePolicy::Managers
        {
            return Err(Error::new(
                Reason::UpgradeNotAllowed,
                "this server lets only managers promote; ask one, or sign in with an account",
            ));
        }
        Ok(())
    }

    /// Finds the user whom an authorised call is about.
    ///
    /// # Errors
    /// `USER_NOT_FOUND`; `MANAGER_REQUIRED` for an account that this caller may not read; those of
    /// the engine.
    pub(super) async fn owner(&self, subject: &Subject<'_>) -> Result<Arc<User>> {
        let Some(name) = subject.other() else { return Ok(Arc::clone(&subject.session()?.user)) };
        subject.admit(name, self.registry.find_user(name).await?)
    }
}

/// Returns true if the caller may use only guests' stores, for an RPC on another user's store.
///
/// # Errors
/// `MANAGER_REQUIRED` if it may use no other store.
fn others_store(session: &Session, method: Method) -> Result<bool> {
    let writes = method == Method::PutOther;
    match session.privilege() {
        Privilege::Manager => Ok(false),
        Privilege::SelfPromoted if !writes => Ok(true),
        Privilege::SelfPromoted => {
            Err(manager_required("a self-promoted manager may not write another user's store"))
        }
        Privilege::Guest if writes => {
            Err(manager_required("only a manager may write another user's store"))
        }
        Privilege::Guest => Err(manager_required("only a manager may read another user's store")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::request::{Calculate, SignIn};
    use crate::model::{Command, Limits, Page, Prefix, RoomName, request};
    use crate::service::Options;
    use crate::store::{Clock, Engine, MemoryEngine};

    fn service() -> Service {
        let limits = Limits::default();
        let clock = Clock::system();
        let engine = Engine::Memory(MemoryEngine::new(
            clock.clone(),
            crate::store::StoreLimits::from(&limits),
        ));
        let upgrade_policy = UpgradePolicy::Managers;
        Service::new(Options { accounts: Vec::new(), upgrade_policy, limits, clock, engine })
            .unwrap()
    }

    fn nobody() -> Caller {
        Caller { session: None, protocol: "grpc", source: IpAddr::from([127, 0, 0, 1]) }
    }

    async fn guest(service: &Service) -> Caller {
        let user = UserName::new("guest").unwrap();
        let token = service.execute(&nobody(), SignIn { user }).await.unwrap().token;
        let session = service.authenticate(Method::Get, Some(&token)).unwrap();
        Caller { session, ..nobody() }
    }

    /// A command that a guest may run, of each RPC on the caller itself.
    fn commands() -> Vec<Command> {
        let (key, page) = (crate::model::Key::new("k").unwrap(), Page::default());
        let (prefix, room) = (Prefix::new("").unwrap(), RoomName::new("").unwrap());
        vec![
            request::Get { key: key.clone() }.into(),
            request::Delete { key, if_revision: None, request_id: None }.into(),
            request::ListKeys { user: None, prefix, page: page.clone() }.into(),
            request::WhoAmI.into(),
            request::ListAccesses { page: page.clone() }.into(),
            request::ListMembers { room, page: page.clone() }.into(),
            request::ListRooms { page }.into(),
            request::GetServerInfo.into(),
            request::Now.into(),
            Calculate { expression: "1 + 1".to_owned() }.into(),
        ]
    }

    #[tokio::test]
    async fn a_changed_row_of_the_table_changes_who_may_call() {
        let mut service = service();
        let guest = guest(&service).await;
        for command in commands() {
            let method = command.method();
            let reason = |result: Result<_>| result.err().map(|error| error.reason());
            let before = reason(service.execute_command(&guest, command.clone()).await);
            assert_ne!(before, Some(Reason::ManagerRequired), "{method:?}");

            service.permissions.set(method, Permission::Manager);
            let denied = service.execute_command(&guest, command.clone()).await;
            assert_eq!(reason(denied), Some(Reason::ManagerRequired), "{method:?}");

            service.permissions.set(method, Permission::Session);
            let unknown = service.execute_command(&nobody(), command).await;
            assert_eq!(reason(unknown), Some(Reason::SessionRequired), "{method:?}");
        }
    }
}
