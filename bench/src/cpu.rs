//! CPU time of a server on this machine.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::failure::{Failure, Result};

/// CPU time that a process has used so far, of user and system.
pub(crate) enum Used {
    /// In nanoseconds by thread, as the scheduler counts (`/proc/PID/task/*/schedstat`). Threads
    /// that have ended are missing.
    ByThread(HashMap<OsString, u64>),
    /// In milliseconds, where the scheduler does not count.
    Whole(Duration),
}

impl Used {
    /// The CPU time until now.
    ///
    /// # Errors
    /// An unknown process, or a system that does not report CPU times.
    pub(crate) fn now(number: u32) -> Result<Self> {
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

    /// The CPU time since `before`, or `None` if the system reported only one of the two.
    pub(crate) fn since(&self, before: &Self) -> Option<Duration> {
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

/// CPU time by thread, or `None` if the scheduler does not count or the process is hidden.
fn by_thread(pid: u32) -> Option<HashMap<OsString, u64>> {
    let mut threads = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // A thread that has just ended has no file.
        let Ok(told) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        threads.insert(thread.file_name(), told.split_whitespace().next()?.parse().ok()?);
    }
    Some(threads).filter(|threads| threads.values().any(|used| *used > 0))
}
