//! The one rule of who may do what.

use std::net::IpAddr;
use std::sync::Arc;

use super::Service;
use super::method::{Access, Method};
use super::session::Session;
use super::user::{Standing, User};
use crate::model::{Error, Reason, Result, UpgradePolicy, UserName};

/// Who asks, and by which door.
#[derive(Clone)]
pub struct Caller {
    /// Its session; `None`: it has none.
    pub session: Option<Arc<Session>>,
    /// The door's name: `grpc`, or the dialect's.
    pub door: &'static str,
    /// Where it comes from.
    pub source: IpAddr,
}

impl Caller {
    /// Its session.
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
        "no session; call AuthService.SignIn and send `authorization: Bearer TOKEN` with the token of the reply",
    )
}

pub(super) fn session_expired() -> Error {
    Error::new(Reason::SessionExpired, "the session has ended; sign in again")
}

fn manager_required(what: &'static str) -> Error {
    Error::new(Reason::ManagerRequired, what)
}

impl Service {
    /// Checks that the caller may call `method` on the user named (`None`: on itself), and finds that user.
    ///
    /// A caller that may not is told so before anybody looks whether the user exists.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `MANAGER_REQUIRED`, `UPGRADE_NOT_ALLOWED`, `USER_NOT_FOUND`.
    pub(super) fn authorize(&self, caller: &Caller, method: Method, target: Option<&UserName>) -> Result<Arc<User>> {
        let session = caller.session()?;
        let own = target.is_none_or(|name| *name == session.user.name);
        match method.access() {
            Access::Open | Access::OptionalSession | Access::Session => Ok(Arc::clone(&session.user)),
            Access::OwnOrManager if own => Ok(Arc::clone(&session.user)),
            Access::OwnOrManager => self.other(session, method, target),
            Access::Manager if session.standing() < Standing::Manager => {
                let lists = method == Method::ListUsers;
                Err(manager_required(if lists {
                    "only a manager may list the users"
                } else {
                    "only a manager may make a manager a guest"
                }))
            }
            Access::Promotion if own => self.self_promotion(session),
            Access::Promotion if session.standing() < Standing::Manager => {
                Err(manager_required("only a manager may make another user a manager"))
            }
            Access::Manager | Access::Promotion => self.existing(session, target),
        }
    }

    /// Another user, for what is done to its store.
    fn other(&self, session: &Session, method: Method, target: Option<&UserName>) -> Result<Arc<User>> {
        let writes = method == Method::PutOther;
        match session.standing() {
            Standing::Manager => self.existing(session, target),
            Standing::SelfPromoted if !writes => {
                let user = self.existing(session, target)?;
                if user.account {
                    return Err(manager_required("a self-promoted manager may not read an account's store"));
                }
                Ok(user)
            }
            Standing::SelfPromoted => {
                Err(manager_required("a self-promoted manager may not write another user's store"))
            }
            Standing::Guest if writes => Err(manager_required("only a manager may write another user's store")),
            Standing::Guest => Err(manager_required("only a manager may read another user's store")),
        }
    }

    fn self_promotion(&self, session: &Session) -> Result<Arc<User>> {
        if session.standing() == Standing::Guest && self.upgrade_policy == UpgradePolicy::Managers {
            return Err(Error::new(
                Reason::UpgradeNotAllowed,
                "this server lets only managers promote; ask one, or sign in with an account",
            ));
        }
        Ok(Arc::clone(&session.user))
    }

    fn existing(&self, session: &Session, target: Option<&UserName>) -> Result<Arc<User>> {
        let Some(name) = target else { return Ok(Arc::clone(&session.user)) };
        self.find_user(name)
            .ok_or_else(|| Error::new(Reason::UserNotFound, format!("there is no user {:?}", name.as_str())))
    }
}
