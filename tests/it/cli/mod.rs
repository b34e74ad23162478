//! The built command line against a real server.

mod chains;
mod chat;
mod errors;
mod sessions;
mod terminal;
mod transfer;
mod via;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::harness::Server;

/// The account `adam` with the password `bill`, a manager.
const ADAM: &str = "[users.adam]\n\
    password = \"$argon2id$v=19$m=19456,t=2,p=1$dFazkA1LQH/Dw+uIgwJRvQ\
    $fWLXQpd3RDujd6zzF+hj+0iiGdMXiBnPS1cUHpotHWU\"\n\
    role = \"manager\"\n";

/// A user with a command line: a name, a home directory and a server.
pub(crate) struct Cli {
    home: TempDir,
    server: String,
    user: String,
}

/// Exit code and output of a command.
pub(crate) struct Ran {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Cli {
    fn new(server: &Server, user: &str) -> Self {
        Self::at(server.grpc().to_string(), user)
    }

    pub(crate) fn at(server: impl Into<String>, user: &str) -> Self {
        Self { home: TempDir::new().unwrap(), server: server.into(), user: user.to_owned() }
    }

    /// Returns the program's command with an empty environment.
    fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvrpc-cli"));
        command.env_clear().current_dir(&self.home);
        command
            .env("HOME", self.home.path())
            .env("KVRPC_SERVER", &self.server)
            .env("KVRPC_USER", &self.user);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the words of a line, split at blanks.
    pub(crate) fn run(&self, line: &str) -> Ran {
        finish(self.command(line.split_whitespace()).spawn().unwrap(), b"")
    }

    fn run_words(&self, words: &[&str]) -> Ran {
        finish(self.command(words).spawn().unwrap(), b"")
    }

    pub(crate) fn run_with_input(&self, line: &str, stdin: &[u8]) -> Ran {
        finish(self.command(line.split_whitespace()).stdin(Stdio::piped()).spawn().unwrap(), stdin)
    }

    fn run_with_variable(&self, line: &str, name: &str, value: &str) -> Ran {
        finish(self.command(line.split_whitespace()).env(name, value).spawn().unwrap(), b"")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.home.path().join(name), bytes).unwrap();
    }
}

impl Ran {
    #[track_caller]
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Returns the output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.text());
        String::from_utf8(self.stdout).unwrap()
    }

    /// Returns the error of a command that must have failed with this code, without its first word.
    #[track_caller]
    fn error(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.text(), self.stderr);
        self.stderr.strip_prefix("error: ").unwrap_or(&self.stderr).trim_end().to_owned()
    }
}

/// Writes to a program's input and waits for its end, reading both outputs meanwhile.
fn finish(mut child: Child, stdin: &[u8]) -> Ran {
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read may have ended already.
        let _ = pipe.write_all(stdin);
    }
    let output = child.wait_with_output().unwrap();
    Ran { code: output.status.code(), stdout: output.stdout, stderr: errors.join().unwrap() }
}
