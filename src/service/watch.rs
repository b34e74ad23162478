//! Following the changes of a store.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Service;
use super::authorize::{Caller, Handle, Subject};
use super::session::{Session, StreamGuard};
use super::user::User;
use crate::model::request::{Pipeline, Watch};
use crate::model::{Error, Method, Position, Prefix, Reason, Request, Result, UserName};
use crate::store::feed::{FeedItem, Follower};
use crate::store::{Change, Store};

/// Maximum number of changes of other keys that one poll skips.
const PASSED_AT_ONCE: usize = 256;

/// Changes of a store, for one stream of a session. The session is in use while this exists.
pub struct Watching {
    /// Session of the stream.
    pub session: Arc<Session>,
    /// True if changes after the requested position are missing.
    pub gap: bool,
    follower: Follower<Change>,
    epoch: u64,
    prefix: Prefix,
    owner: Arc<User>,
    /// Name of the store's owner, unless that is the caller.
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
    /// Returns true if the store is another user's, so that [`Service::may_go_on`] may later
    /// refuse.
    pub fn is_of_another(&self) -> bool {
        self.other.is_some()
    }

    /// Returns the position of the latest change that was returned or skipped.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.follower.next_sequence() - 1 }
    }

    /// Returns the next change, or `Pending` until there is one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FeedItem<Change>> {
        for _ in 0..PASSED_AT_ONCE {
            let Poll::Ready(next) = self.follower.poll_next(context) else { return Poll::Pending };
            if !self.passes_over(&next) {
                return Poll::Ready(next);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns the next change, if it is available and no other keys' changes come before it.
    pub fn try_next(&mut self) -> Option<FeedItem<Change>> {
        self.follower.try_next().filter(|next| !self.passes_over(next))
    }

    fn passes_over(&self, next: &FeedItem<Change>) -> bool {
        let prefix = self.prefix.as_str();
        matches!(next, FeedItem::Event(event) if !event.body.key.as_str().starts_with(prefix))
    }
}
