//! Why a command failed, in the words of the command line: what is wrong, and the next step.

use std::io;

use super::Exit;
use kvrpc::dialect::grammar::ParseError;
use kvrpc::dialect::sanitize;
use kvrpc::model::Reason;

/// A command that failed. It ends the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// The server's reason, if it gave one.
    pub(super) reason: Option<Reason>,
    message: String,
}

/// The result of a step of a command.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, reason: None, message: message.into() }
    }

    pub(super) fn of(reason: Reason, message: impl Into<String>) -> Self {
        Self { exit: reason.into(), reason: Some(reason), message: message.into() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// By the person at the terminal, who needs no sentence about it.
    pub(super) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "")
    }

    /// Puts where it happened before the sentence.
    pub(super) fn at(mut self, place: &str) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{place}: {}", self.message);
        }
        self
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Writes the error for people, and tells how to end. A reader of the output that went away is
    /// no error of ours.
    #[allow(clippy::print_stderr, reason = "this is where errors go")]
    pub(super) fn report(&self) -> Exit {
        if !self.message.is_empty() {
            eprintln!("error: {}", sanitize::text(&self.message));
        }
        self.exit
    }
}

impl From<io::Error> for Failure {
    /// For what writes to the output; reading names its file.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::failed(format!("cannot write the output: {error}"))
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::usage(error.to_string())
    }
}
