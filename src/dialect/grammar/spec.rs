//! Rows of the command table.

use super::args::Args;
use super::{COMMANDS, Call, ParseError};

/// Rules by which words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The command line and the prompt: `-`, `@file` and `--` have a meaning, and passwords are
    /// prompted for.
    CommandLine,
    /// The `text` protocol: words have no special meaning, and commands for the command line alone
    /// do not exist.
    TextProtocol,
}

/// Interfaces in which a command exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it")]
pub enum Availability {
    CommandLine,
    TextProtocol,
    Both,
}

/// A word that a command takes, with the name that the help shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A required word.
    Needed(&'static str),
    /// An optional word; the name of a command is not taken for it.
    Optional(&'static str),
    /// One word, and all following ones up to the name of a command.
    Many(&'static str),
    /// A whole `get` or `put`, which is then applied to another user's store.
    GetOrPut,
    /// An optional word, usually the name of a command.
    Command(&'static str),
}

impl Word {
    /// Returns the form of the word in the help.
    pub fn form(&self) -> String {
        match self {
            Self::Needed(name) => (*name).to_owned(),
            Self::Optional(name) | Self::Command(name) => format!("[{name}]"),
            Self::GetOrPut => "get KEY | put KEY VALUE".to_owned(),
            Self::Many(name) => format!("{name}..."),
        }
    }
}

/// An option of a command; options follow the command's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The option with its dashes.
    pub name: &'static str,
    /// Name of its value in the help; `None` if it takes no value.
    pub value: Option<&'static str>,
    /// Help text of one line.
    pub help: &'static str,
}

impl Opt {
    /// Returns the option with its value as shown in the help.
    pub fn form(&self) -> String {
        match self.value {
            Some(value) => format!("{} {value}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// One row of the command table.
#[derive(Debug)]
pub struct Spec {
    /// Name of the command.
    pub name: &'static str,
    /// Interfaces in which the command exists.
    pub availability: Availability,
    /// Words that the command takes, the optional ones last.
    pub words: &'static [Word],
    /// Options that the command takes.
    pub options: &'static [Opt],
    /// Help text of one line.
    pub help: &'static str,
    /// Complete commands as a user would type them.
    pub examples: &'static [&'static str],
    pub(super) build: fn(&mut Args<'_>) -> Result<Call, ParseError>,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.availability == other.availability
    }
}

impl Eq for Spec {}

impl Spec {
    /// Returns true if the command exists in this mode.
    pub fn exists_in(&self, mode: Mode) -> bool {
        match (self.availability, mode) {
            (Availability::Both, _)
            | (Availability::CommandLine, Mode::CommandLine)
            | (Availability::TextProtocol, Mode::TextProtocol) => true,
            (Availability::CommandLine, Mode::TextProtocol)
            | (Availability::TextProtocol, Mode::CommandLine) => false,
        }
    }

    /// Returns the words after the name as shown in the help: `KEY VALUE`.
    pub fn words_form(&self) -> String {
        let words: Vec<String> = self.words.iter().map(Word::form).collect();
        words.join(" ")
    }

    /// Returns the words and options after the name: `KEY VALUE [--ttl DURATION]`.
    pub fn arguments(&self) -> String {
        let options = self.options.iter().map(|option| format!("[{}]", option.form()));
        let all: Vec<String> = self.words.iter().map(Word::form).chain(options).collect();
        all.join(" ")
    }

    /// Returns the complete form of the command.
    pub fn usage(&self) -> String {
        let arguments = self.arguments();
        if arguments.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} {arguments}", self.name)
        }
    }
}

/// Returns the command of this name.
pub fn find(name: &str, mode: Mode) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name == name && spec.exists_in(mode))
}

/// Returns the names of all commands in this mode, in table order.
pub fn names(mode: Mode) -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().filter(move |spec| spec.exists_in(mode)).map(|spec| spec.name)
}
