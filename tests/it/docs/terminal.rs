//! A shell that takes one command after another, as a terminal does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::PATIENCE;

/// Printed behind a command, with its exit code.
const MARK: &str = "--8<-- ended with";

/// Longest time for a command: the start of Python on a busy machine is no failure.
const COMMAND: Duration = PATIENCE.saturating_mul(6);

/// A shell in a folder, with its two outputs in one. Dropped, it ends with all that it started.
pub(super) struct Terminal {
    shell: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// The exit code of the latest command.
    code: i32,
}

impl Terminal {
    /// Opens a shell whose home is `home`, where `bin` has the programs of this package.
    pub(super) fn open(home: &Path) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh")
            .env_clear()
            .env("PATH", format!("{}:{path}", home.join("bin").display()))
            .env("HOME", home)
            .env("KVRPC_USER", "rwitick")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .current_dir(home)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        writeln!(stdin, "exec 2>&1").unwrap();
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        let (line, lines) = channel();
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        Self { shell, stdin, lines, code: 0 }
    }

    /// Sets a variable for all commands to come.
    pub(super) fn export(&mut self, name: &str, value: &str) {
        writeln!(self.stdin, "export {name}='{value}'").unwrap();
    }

    /// Starts a command that does not end by itself.
    pub(super) fn start(&mut self, command: &str) {
        writeln!(self.stdin, "{command} </dev/null").unwrap();
    }

    /// Runs a command to its end: what it printed, and its exit code.
    pub(super) fn run(&mut self, command: &str) -> (Vec<String>, i32) {
        // `$?` is that of the command before, as in any terminal.
        let code = self.code;
        write!(
            self.stdin,
            "{{ (exit {code})\n{command}\n}} </dev/null; printf '\\n%s %s\\n' '{MARK}' $?\n"
        )
        .unwrap();
        let mut printed = Vec::new();
        loop {
            let line = self.line(COMMAND).unwrap_or_else(|| {
                panic!("`{command}` did not end; it printed:\n{}", printed.join("\n"))
            });
            if let Some(code) = line.strip_prefix(MARK) {
                self.code = code.trim().parse().unwrap();
                // The mark stands on a line of its own, also behind a line without an end.
                if printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                return (printed, self.code);
            }
            printed.push(line);
        }
    }

    /// The next line, if it comes in time.
    pub(super) fn line(&self, wait: Duration) -> Option<String> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the shell ended"),
        }
    }

    /// Reads lines until one has `part` in it.
    pub(super) fn wait_for(&self, part: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut printed: Vec<String> = Vec::new();
        while !printed.last().is_some_and(|line| line.contains(part)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.line(left) {
                Some(line) => printed.push(line),
                None => panic!("no line with `{part}`, but:\n{}", printed.join("\n")),
            }
        }
        printed
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The shell leads a group of its own.
        if let Some(group) = i32::try_from(self.shell.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.shell.wait();
    }
}
