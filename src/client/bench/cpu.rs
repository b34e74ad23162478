//! The CPU time that a server on this machine has used.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::client::failure::{Failure, Result};

/// What a process has used so far, of the user's time and the system's.
pub(super) enum Used {
    /// In nanoseconds, by thread, as the scheduler counts (`/proc/PID/task/*/schedstat`). What a
    /// thread used goes when it ends.
    ByThread(HashMap<OsString, u64>),
    /// In milliseconds, where the scheduler does not tell.
    Whole(Duration),
}

impl Used {
    /// What it is now.
    ///
    /// # Errors
    /// If there is no such process, or the system does not tell.
    pub(super) fn now(number: u32) -> Result<Self> {
        if let Some(threads) = by_thread(number) {
            return Ok(Self::ByThread(threads));
        }
        let unknown =
            |error| Failure::failed(format!("cannot ask the system for CPU times: {error}"));
        let mut system = System::new().map_err(unknown)?;
        let pid = Pid::from_u32(number);
        let wanted = ProcessRefreshKind::nothing().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, wanted);
        match system.process(pid) {
            Some(process) => Ok(Self::Whole(Duration::from_millis(process.accumulated_cpu_time()))),
            None => {
                Err(Failure::usage(format!("--pid: there is no process {number} on this machine")))
            }
        }
    }

    /// What came to it since then; `None`: the system told one time and not the other.
    pub(super) fn since(&self, before: &Self) -> Option<Duration> {
        match (self, before) {
            (Self::ByThread(now), Self::ByThread(before)) => {
                let old = |thread| before.get(thread).copied().unwrap_or_default();
                Some(Duration::from_nanos(
                    now.iter().map(|(thread, used)| used.saturating_sub(old(thread))).sum(),
                ))
            }
            (Self::Whole(now), Self::Whole(before)) => Some(now.saturating_sub(*before)),
            (Self::ByThread(_), Self::Whole(_)) | (Self::Whole(_), Self::ByThread(_)) => None,
        }
    }
}

/// `None`: the scheduler does not count, or not for us.
fn by_thread(pid: u32) -> Option<HashMap<OsString, u64>> {
    let mut threads = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // One that ended meanwhile has none.
        let Ok(told) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        threads.insert(thread.file_name(), told.split_whitespace().next()?.parse().ok()?);
    }
    Some(threads).filter(|threads| threads.values().any(|used| *used > 0))
}
