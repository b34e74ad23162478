//! Errors that end the run.

use std::io::Write as _;
use std::process::ExitCode;

/// Exit codes; 2 is also clap's.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 8;

/// An error for people, with the exit code of the program.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

/// The result of a step of the run.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A wrong answer, a refused call, or an error of the system.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// An option that cannot be used as it was given.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// A server that cannot be reached, or that does not answer in time.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into() }
    }

    /// Prints the error, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // The exit code remains where the message cannot be printed.
        let _ = writeln!(std::io::stderr(), "error: {}", self.message);
        ExitCode::from(self.code)
    }
}
