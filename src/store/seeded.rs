//! Bugs that tests switch on, to see that the checkers of the store find them. Without the feature
//! `seeded-bugs` there are none.

#[cfg(feature = "seeded-bugs")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A bug that the engine has when it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A put over a value of the same length leaves the old one.
    StaleRead = 1,
    /// A conditional put that succeeded is not there.
    LostCas,
    /// A conditional put lets go of the lock between the look at the revision and the write.
    TwoCasWinners,
    /// A get finds what has expired but was not taken out yet.
    ExpiredValueBack,
    /// An overwrite does not give the old value's bytes back.
    QuotaDriftOnOverwrite,
    /// A batch that fails leaves the steps before the failing one.
    BatchHalfApplied,
    /// A retry is done as if it were the first.
    RequestIdAppliedTwice,
    /// Some changes do not raise the revision.
    RevisionUsedTwice,
    /// The key behind a page's last is in no page.
    KeySkippedInListing,
    /// Some puts go to the store in which another user wrote last.
    WriteIntoAnotherStore,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 10] = [
        Self::StaleRead,
        Self::LostCas,
        Self::TwoCasWinners,
        Self::ExpiredValueBack,
        Self::QuotaDriftOnOverwrite,
        Self::BatchHalfApplied,
        Self::RequestIdAppliedTwice,
        Self::RevisionUsedTwice,
        Self::KeySkippedInListing,
        Self::WriteIntoAnotherStore,
    ];
}

#[cfg(feature = "seeded-bugs")]
static ON: AtomicU8 = AtomicU8::new(0);

/// Switches one bug on for the whole process; `None`: all are off.
#[cfg(feature = "seeded-bugs")]
pub fn switch(bug: Option<Bug>) {
    ON.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

/// Whether the engine has this bug.
#[cfg(feature = "seeded-bugs")]
pub(crate) fn on(bug: Bug) -> bool {
    ON.load(Ordering::Relaxed) == bug as u8
}

/// Whether the engine has this bug: never.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub(crate) const fn on(_: Bug) -> bool {
    false
}
