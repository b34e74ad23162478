//! Following the changes of a store.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Service;
use super::authorize::Caller;
use super::method::Method;
use super::session::{Session, StreamGuard};
use super::user::User;
use crate::model::{Error, Position, Prefix, Reason, Result, UserName};
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

impl Service {
    /// Follows the changes of keys with this prefix, behind `after` or from now on.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`, `MANAGER_REQUIRED`, `USER_NOT_FOUND`.
    pub async fn watch(
        &self,
        caller: &Caller,
        user: Option<&UserName>,
        prefix: Prefix,
        after: Option<Position>,
    ) -> Result<Watching> {
        let owner = self.authorize(caller, Method::Watch, user).await?;
        let session = Arc::clone(caller.session()?);
        let in_use = StreamGuard::new(Arc::clone(&session), self.clock.clone());
        let mut watched = owner.store.watch(after).await?;
        self.record_access(caller, &owner, Method::Watch, prefix.as_str()).await?;
        let other = user.filter(|_| owner.id != session.user.id).cloned();
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

    /// Whether the caller may go on: it has its role still, and the user is still there.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub fn may_go_on(&self, caller: &Caller, watching: &Watching) -> Result<()> {
        let Some(name) = &watching.other else { return caller.session().map(|_| ()) };
        self.rule(caller, Method::Watch, Some(name))?.allows(&watching.owner)?;
        let owner = &watching.owner;
        let gone = match &self.shared {
            None => self.find_user(name).is_none_or(|user| user.id != owner.id),
            // What was heard since the last time; the next time hears what is asked for now.
            Some(shared) => {
                shared.look_whether_gone(owner);
                owner.is_gone()
            }
        };
        if gone {
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
