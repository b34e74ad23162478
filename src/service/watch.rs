//! Following the changes of a store.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Service;
use super::authorize::{Caller, Handle, Subject};
use super::session::{Session, StreamGuard};
use super::user::User;
use crate::model::request::{Pipeline, Watch};
use crate::model::{Error, Method, Position, Prefix, Reason, Request, Result, UserName};
use crate::store::feed::{Follower, Next};
use crate::store::{Change, Store};

/// How many changes of other keys are passed over before other work has its turn.
const PASSED_AT_ONCE: usize = 256;

/// The changes of a store, for one stream of a session; as long as it lives, the session is in use.
pub struct Watching {
    /// Whose stream it is.
    pub session: Arc<Session>,
    /// Whether changes behind the position asked for are missing.
    pub gap: bool,
    follower: Follower<Change>,
    epoch: u64,
    prefix: Prefix,
    owner: Arc<User>,
    /// Another user's name, if it is not the caller's store.
    other: Option<UserName>,
    _in_use: StreamGuard,
}

impl Request for Watch {
    const METHOD: Method = Method::Watch;
    type Reply = Watching;

    fn target(&self) -> Option<&UserName> {
        self.user.as_ref()
    }
}

impl Handle<Watch> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Watch) -> Result<Watching> {
        let Watch { prefix, after, .. } = request;
        let owner = self.owner(&subject).await?;
        let session = Arc::clone(subject.session()?);
        let in_use = StreamGuard::new(Arc::clone(&session), self.clock.clone());
        let mut watched = owner.store.watch(after).await?;
        self.record_access(&subject, &owner, prefix.as_str()).await?;
        let other = subject.other().filter(|_| owner.id != session.user.id).cloned();
        Ok(Watching {
            session,
            gap: watched.follower.skip_gap() || watched.gap,
            follower: watched.follower,
            epoch: watched.position.epoch,
            prefix,
            owner,
            other,
            _in_use: in_use,
        })
    }
}

impl Request for Pipeline {
    const METHOD: Method = Method::Pipeline;
    type Reply = StreamGuard;
}

impl Handle<Pipeline> for Service {
    async fn handle(&self, subject: Subject<'_>, _: Pipeline) -> Result<StreamGuard> {
        Ok(StreamGuard::new(Arc::clone(subject.session()?), self.clock.clone()))
    }
}

impl Service {
    /// Checks that a watch may go on: the caller still has its role, and the user still exists.
    ///
    /// # Errors
    /// `SESSION_EXPIRED`, `MANAGER_REQUIRED`, `USER_NOT_FOUND`.
    pub fn may_go_on(&self, caller: &Caller, watching: &Watching) -> Result<()> {
        let Some(name) = &watching.other else { return caller.session().map(|_| ()) };
        self.authorize(caller, Method::Watch, Some(name))?.admits(&watching.owner)?;
        if self.registry.has_gone(name, &watching.owner) {
            return Err(Error::new(
                Reason::UserNotFound,
                "the user whose store was watched has gone",
            ));
        }
        Ok(())
    }
}

impl Watching {
    /// Whether it is another user's store, so that [`Service::may_go_on`] may say no later.
    pub fn is_of_another(&self) -> bool {
        self.other.is_some()
    }

    /// The place of the latest change that was told or passed over.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.follower.next_sequence() - 1 }
    }

    /// What comes next, or `Pending` until there is something.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<Change>> {
        for _ in 0..PASSED_AT_ONCE {
            let Poll::Ready(next) = self.follower.poll_next(context) else { return Poll::Pending };
            if !self.passes_over(&next) {
                return Poll::Ready(next);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What comes next, if it is there and no other keys' changes are before it.
    pub fn try_next(&mut self) -> Option<Next<Change>> {
        self.follower.try_next().filter(|next| !self.passes_over(next))
    }

    fn passes_over(&self, next: &Next<Change>) -> bool {
        matches!(next, Next::Event(event) if !event.body.key.as_str().starts_with(self.prefix.as_str()))
    }
}
