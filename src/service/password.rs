//! Password checks, which reveal neither by their reply nor by their time whether an account
//! exists.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::model::source::network;
use crate::model::{Error, MAX_PASSWORD_BYTES, Reason, Result};

/// Maximum number of concurrent checks; each takes a core and 19 MiB for some ten milliseconds.
const AT_ONCE: usize = 2;
/// Part of the places that one source may have, as a divisor.
const SHARES: usize = 4;
/// Time after which a refused caller is to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Checks passwords on the blocking pool: two at once, a bounded number waiting.
pub(super) struct Passwords {
    hashes: HashMap<String, Arc<str>>,
    /// Hash that the passwords of unknown users are checked against.
    decoy: Arc<str>,
    permits: Arc<Semaphore>,
    /// Number of checks that run or wait, by source.
    taken: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
    most_of_a_source: usize,
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
        let most = max_waiting + AT_ONCE;
        let most_of_a_source = (most / SHARES).max(1);
        Ok(Self { hashes, decoy, permits, taken: Mutex::default(), most, most_of_a_source })
    }

    /// Takes a place among the checks that run or wait.
    ///
    /// # Errors
    /// `RATE_LIMITED` if all places are taken, or this source has its share of them.
    pub(super) fn admit(&self, source: IpAddr) -> Result<Place<'_>> {
        let source = network(source);
        let mut taken = self.taken.lock();
        let all: usize = taken.values().sum();
        let own = taken.entry(source).or_default();
        let refused = if *own >= self.most_of_a_source {
            Some("too many passwords from this address are being checked; try again in 1 s")
        } else if all >= self.most {
            Some("too many passwords are being checked; try again in 1 s")
        } else {
            None
        };
        if let Some(sentence) = refused {
            if *own == 0 {
                taken.remove(&source);
            }
            return Err(Error::new(Reason::RateLimited, sentence).retry_after(RETRY_AFTER));
        }
        *own += 1;
        Ok(Place { passwords: self, source })
    }
}

/// Place of a check; given back on drop.
pub(super) struct Place<'a> {
    passwords: &'a Passwords,
    source: IpAddr,
}

impl Place<'_> {
    /// Returns true if this is the password of the account of this folded name.
    ///
    /// # Errors
    /// `INTERNAL` if the server stops.
    pub(super) async fn check(self, folded_name: &str, password: String) -> Result<bool> {
        let Passwords { hashes, decoy, permits, .. } = self.passwords;
        let known = hashes.get(folded_name).cloned();
        let exists = known.is_some() && password.len() <= MAX_PASSWORD_BYTES;
        let hash = known.unwrap_or_else(|| Arc::clone(decoy));
        let permit = Arc::clone(permits).acquire_owned().await.map_err(Error::internal)?;
        let verified = tokio::task::spawn_blocking(move || {
            // Held by the check and not by the caller, so that a caller that goes away does not
            // admit a third check.
            let _permit = permit;
            Argon2::default().verify_password(password.as_bytes(), &*hash).is_ok()
        });
        Ok(verified.await.map_err(Error::internal)? && exists)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.passwords.taken.lock();
        if let Some(own) = taken.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

fn cost(hash: &str) -> u64 {
    let Ok(hash) = PasswordHash::new(hash) else { return 0 };
    let number = |name| hash.params.get_decimal(name).map_or(1, u64::from);
    number("m").saturating_mul(number("t"))
}
