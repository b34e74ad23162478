//! Directory of the users of a server that shares nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{Error, Reason, Result, UserName};
use crate::service::user::User;

/// Users by name, and by id, which is the order of their arrival.
#[derive(Default)]
pub(super) struct Directory(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    by_name: HashMap<String, Arc<User>>,
    by_id: BTreeMap<u64, Arc<User>>,
    last_id: u64,
}

impl Directory {
    /// Returns the number of users.
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// Returns the user of this name.
    pub(super) fn find(&self, name: &UserName) -> Option<Arc<User>> {
        self.0.lock().by_name.get(name.folded()).cloned()
    }

    /// Adds a user. `make` is given the new user's id and returns before others can find the user.
    ///
    /// # Errors
    /// `NAME_IN_USE` if the name is taken; the errors of `make`. No user is added then.
    pub(super) fn insert<T>(
        &self,
        name: &UserName,
        make: impl FnOnce(u64) -> Result<(Arc<User>, T)>,
    ) -> Result<(Arc<User>, T)> {
        let mut inner = self.0.lock();
        if inner.by_name.contains_key(name.folded()) {
            return Err(name_in_use(name));
        }
        inner.last_id += 1;
        let (user, made) = make(inner.last_id)?;
        inner.by_name.insert(name.folded().to_owned(), Arc::clone(&user));
        inner.by_id.insert(user.id, Arc::clone(&user));
        Ok((user, made))
    }

    /// Removes a user and frees its name.
    pub(super) fn remove(&self, user: &User) {
        let mut inner = self.0.lock();
        if inner.by_id.remove(&user.id).is_some() {
            inner.by_name.remove(user.name.folded());
        }
    }

    /// Returns at most `size` users whose ids are above `after`.
    pub(super) fn page(&self, after: u64, size: usize) -> Vec<Arc<User>> {
        let inner = self.0.lock();
        let behind = inner.by_id.range((Bound::Excluded(after), Bound::Unbounded));
        behind.take(size).map(|(_, user)| Arc::clone(user)).collect()
    }
}

pub(super) fn name_in_use(name: &UserName) -> Error {
    Error::new(Reason::NameInUse, format!("the name {:?} is in use; choose another", name.as_str()))
        .in_field("user")
}
