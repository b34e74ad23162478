//! Password checks, which reveal neither by their reply nor by their time whether an account
//! exists.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use crate::model::{Error, MAX_PASSWORD_BYTES, Reason, Result};

/// Maximum number of concurrent checks; each takes a core and 19 MiB for some ten milliseconds.
const AT_ONCE: usize = 2;

/// Checks passwords on the blocking pool: two at once, a bounded number waiting.
pub(super) struct Passwords {
    hashes: HashMap<String, Arc<str>>,
    /// Hash that the passwords of unknown users are checked against.
    decoy: Arc<str>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

impl Passwords {
    /// Creates a checker of `hashes`: an Argon2id hash in PHC form for each account's folded name.
    pub(super) fn new(hashes: HashMap<String, Arc<str>>, max_waiting: usize) -> Result<Self> {
        // The most expensive of the accounts' hashes, so that a check takes as long for a user that
        // does not exist.
        let dearest = hashes.values().max_by_key(|hash| cost(hash)).cloned();
        let decoy = match dearest {
            Some(hash) => hash,
            None => Argon2::default()
                .hash_password(&rand::random::<[u8; 32]>())
                .map_err(|error| Error::internal(error.to_string()))?
                .to_string()
                .into(),
        };
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { hashes, decoy, permits, waiting: AtomicUsize::new(0), max_waiting })
    }

    /// Returns true if this is the password of the account of this folded name.
    ///
    /// # Errors
    /// `RATE_LIMITED` if too many checks wait already.
    pub(super) async fn check(&self, folded_name: &str, password: String) -> Result<bool> {
        let known = self.hashes.get(folded_name).cloned();
        let exists = known.is_some() && password.len() <= MAX_PASSWORD_BYTES;
        let hash = known.unwrap_or_else(|| Arc::clone(&self.decoy));
        let _waiting = Waiting::enter(&self.waiting, self.max_waiting)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(Error::internal)?;
        let verified = tokio::task::spawn_blocking(move || {
            // Held by the check and not by the caller, so that a caller that goes away does not
            // admit a third check.
            let _permit = permit;
            Argon2::default().verify_password(password.as_bytes(), &*hash).is_ok()
        });
        Ok(verified.await.map_err(Error::internal)? && exists)
    }
}

/// Place in the queue; given back on drop.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Result<Self> {
        if waiting.fetch_add(1, Ordering::AcqRel) >= max + AT_ONCE {
            waiting.fetch_sub(1, Ordering::AcqRel);
            let wait = Duration::from_secs(1);
            return Err(Error::new(
                Reason::RateLimited,
                "too many passwords are being checked; try again in 1 s",
            )
            .retry_after(wait));
        }
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn cost(hash: &str) -> u64 {
    let Ok(hash) = PasswordHash::new(hash) else { return 0 };
    let number = |name| hash.params.get_decimal(name).map_or(1, u64::from);
    number("m").saturating_mul(number("t"))
}
