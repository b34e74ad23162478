//! Connection limits that fit the process's limit of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors reserved for everything except admitted connections: listeners, runtimes, files,
/// connections that are about to be admitted or refused.
const RESERVED: u64 = 256;

/// Returns the number of connections that each of `listeners` connection limiters may admit, at
/// most `wanted` and at least 1; each connection takes one descriptor.
///
/// Raises the process's soft limit of descriptors to the hard one first.
pub fn connections_within(wanted: usize, listeners: usize) -> usize {
    share(wanted, listeners, raise())
}

fn share(wanted: usize, listeners: usize, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return wanted.max(1) };
    // A process with very few descriptors keeps half of them for itself.
    let free = descriptors.saturating_sub(RESERVED).max(descriptors / 2);
    let share = usize::try_from(free).unwrap_or(usize::MAX) / listeners.max(1);
    wanted.min(share).max(1)
}

/// Raises the soft limit to the hard one and returns the limit in force; `None` is no limit.
fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of descriptors could not be raised");
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn listeners_share_what_the_process_has() {
        for (wanted, listeners, descriptors, each) in [
            (10_000, 1, None, 10_000),
            (10_000, 1, Some(1 << 20), 10_000),
            (10_000, 1, Some(1_256), 1_000),
            (10_000, 4, Some(4_256), 1_000),
            (10, 4, Some(4_256), 10),
            (10_000, 1, Some(64), 32),
            (10_000, 99, Some(8), 1),
        ] {
            assert_eq!(
                share(wanted, listeners, descriptors),
                each,
                "{wanted} {listeners} {descriptors:?}"
            );
        }
    }
}
