//! What a row of the command table is.

use super::words::Taken;
use super::{COMMANDS, Call, Wrong};

/// By whose rules words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The command line and the prompt: `-`, `@file` and `--` have a meaning, passwords are asked
    /// for.
    CommandLine,
    /// The dialect `text`: words mean themselves, and what only a command line can do is no
    /// command.
    Door,
}

/// Where a command exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it")]
pub enum Place {
    CommandLine,
    Door,
    Both,
}

/// A word that a command takes, with the name that the help shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Must be there.
    Needed(&'static str),
    /// May be there; a command's name is not taken for it.
    Optional(&'static str),
    /// One, and all that follow up to a command's name.
    Many(&'static str),
    /// A whole get or put, which is then one of another user's store.
    GetOrPut,
    /// May be there, a command's name above all.
    Command(&'static str),
}

impl Word {
    /// The word, as the help shows it.
    pub fn form(&self) -> String {
        match self {
            Self::Needed(name) => (*name).to_owned(),
            Self::Optional(name) | Self::Command(name) => format!("[{name}]"),
            Self::GetOrPut => "get KEY | put KEY VALUE".to_owned(),
            Self::Many(name) => format!("{name}..."),
        }
    }
}

/// An option of a command; it stands behind the command's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The option with its dashes.
    pub name: &'static str,
    /// What its value is called in the help; `None`: it has none.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
}

impl Opt {
    /// The option with its value, as the help shows it.
    pub fn form(&self) -> String {
        match self.value {
            Some(value) => format!("{} {value}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// A command: one row of the table.
#[derive(Debug)]
pub struct Spec {
    /// The command's name.
    pub name: &'static str,
    /// Where it exists.
    pub place: Place,
    /// The words it takes, the optional ones last.
    pub words: &'static [Word],
    /// The options it takes.
    pub options: &'static [Opt],
    /// One line of help.
    pub help: &'static str,
    /// Whole commands as one would type them.
    pub examples: &'static [&'static str],
    pub(super) build: fn(&mut Taken<'_>) -> Result<Call, Wrong>,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.place == other.place
    }
}

impl Eq for Spec {}

impl Spec {
    /// Whether the command exists there.
    pub fn exists_in(&self, mode: Mode) -> bool {
        match (self.place, mode) {
            (Place::Both, _)
            | (Place::CommandLine, Mode::CommandLine)
            | (Place::Door, Mode::Door) => true,
            (Place::CommandLine, Mode::Door) | (Place::Door, Mode::CommandLine) => false,
        }
    }

    /// The words behind the name, as the help shows them: `KEY VALUE`.
    pub fn words_form(&self) -> String {
        let words: Vec<String> = self.words.iter().map(Word::form).collect();
        words.join(" ")
    }

    /// The words and options behind the name: `KEY VALUE [--ttl DURATION]`.
    pub fn arguments(&self) -> String {
        let options = self.options.iter().map(|option| format!("[{}]", option.form()));
        let all: Vec<String> = self.words.iter().map(Word::form).chain(options).collect();
        all.join(" ")
    }

    /// The whole form of the command.
    pub fn usage(&self) -> String {
        let arguments = self.arguments();
        if arguments.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} {arguments}", self.name)
        }
    }
}

/// The command of this name.
pub fn find(name: &str, mode: Mode) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name == name && spec.exists_in(mode))
}

/// The names of all commands there, in the order of the table.
pub fn names(mode: Mode) -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().filter(move |spec| spec.exists_in(mode)).map(|spec| spec.name)
}
