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

/// Whom a call is about, as far as the rule says without looking for that user.
pub(super) enum About {
    /// The caller itself.
    Own(Arc<User>),
    /// Another user; only a guest, if so.
    Another {
        /// Whether an account's store is not for this caller.
        guests_only: bool,
    },
}

impl About {
    /// Whether this user may be the one.
    ///
    /// # Errors
    /// `MANAGER_REQUIRED`.
    pub(super) fn allows(&self, user: &User) -> Result<()> {
        match self {
            Self::Another { guests_only: true } if user.account => {
                Err(manager_required("a self-promoted manager may not read an account's store"))
            }
            Self::Own(_) | Self::Another { .. } => Ok(()),
        }
    }
}

impl Service {
    /// Checks that the caller may call `method` on the user named (`None`: on itself), and finds
    /// that user.
    ///
    /// A caller that may not is told so before anybody looks whether the user exists.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `MANAGER_REQUIRED`, `UPGRADE_NOT_ALLOWED`,
    /// `USER_NOT_FOUND`.
    pub(super) async fn authorize(
        &self,
        caller: &Caller,
        method: Method,
        target: Option<&UserName>,
    ) -> Result<Arc<User>> {
        let about = self.rule(caller, method, target)?;
        if let About::Own(user) = about {
            return Ok(user);
        }
        let Some(name) = target else { return Ok(Arc::clone(&caller.session()?.user)) };
        let user = match &self.shared {
            None => self.find_user(name),
            Some(shared) => shared.find_user(name).await?,
        };
        let user = user.ok_or_else(|| {
            Error::new(Reason::UserNotFound, format!("there is no user {:?}", name.as_str()))
        })?;
        about.allows(&user)?;
        Ok(user)
    }

    /// The same for what is about the caller itself.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `MANAGER_REQUIRED`.
    pub(super) fn authorize_own(&self, caller: &Caller, method: Method) -> Result<Arc<User>> {
        match self.rule(caller, method, None)? {
            About::Own(user) => Ok(user),
            About::Another { .. } => Ok(Arc::clone(&caller.session()?.user)),
        }
    }

    /// The rule.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize), but `USER_NOT_FOUND`.
    pub(super) fn rule(
        &self,
        caller: &Caller,
        method: Method,
        target: Option<&UserName>,
    ) -> Result<About> {
        let session = caller.session()?;
        let own = target.is_none_or(|name| *name == session.user.name);
        let another = About::Another { guests_only: false };
        match method.access() {
            Access::Open | Access::OptionalSession | Access::Session => {
                Ok(About::Own(Arc::clone(&session.user)))
            }
            Access::OwnOrManager if own => Ok(About::Own(Arc::clone(&session.user))),
            Access::OwnOrManager => other(session, method),
            Access::Manager if session.standing() < Standing::Manager => {
                let lists = method == Method::ListUsers;
                Err(manager_required(if lists {
                    "only a manager may list the users"
                } else {
                    "only a manager may make a manager a guest"
                }))
            }
            Access::Promotion if own => self.self_promotion(session).map(About::Own),
            Access::Promotion if session.standing() < Standing::Manager => {
                Err(manager_required("only a manager may make another user a manager"))
            }
            Access::Manager | Access::Promotion => Ok(another),
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
}

/// Another user, for what is done to its store.
fn other(session: &Session, method: Method) -> Result<About> {
    let writes = method == Method::PutOther;
    match session.standing() {
        Standing::Manager => Ok(About::Another { guests_only: false }),
        Standing::SelfPromoted if !writes => Ok(About::Another { guests_only: true }),
        Standing::SelfPromoted => {
            Err(manager_required("a self-promoted manager may not write another user's store"))
        }
        Standing::Guest if writes => {
            Err(manager_required("only a manager may write another user's store"))
        }
        Standing::Guest => Err(manager_required("only a manager may read another user's store")),
    }
}
