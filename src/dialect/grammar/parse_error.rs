//! Errors of the parser, with their sentences.

use std::fmt;

use super::{Mode, Spec, names};
use crate::model;

/// Maximum length of a word that is quoted in a message, in characters.
const MAX_EXCERPT: usize = 40;
/// Maximum length of a word that is compared with the commands, in bytes.
const MAX_COMPARED: usize = 32;

/// Reason that a line of words was rejected. None of its commands has run.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are what the sentence names")]
pub enum ParseError {
    /// No command has this name.
    UnknownCommand { word: String, nearest: Option<&'static str>, before: Option<&'static Spec> },
    /// A word of the command is missing.
    MissingWord { command: &'static Spec, word: &'static str },
    /// A word that begins with `--` in the place of a plain one.
    UnexpectedOption { command: &'static Spec, word: String, place: &'static str },
    /// The command has no such option.
    UnknownOption { command: &'static Spec, option: String },
    /// The option was given twice.
    DuplicateOption { command: &'static Spec, option: &'static str },
    /// The option needs a value, or takes none.
    OptionValue { command: &'static Spec, option: &'static str, value: Option<&'static str> },
    /// A word or option value that has the wrong form.
    InvalidWord { command: &'static Spec, place: &'static str, why: String },
    /// A word that the model rejects, with the error that a server would return.
    Rejected { command: &'static Spec, error: model::Error },
    /// A quote is not closed.
    UnclosedQuote,
}

impl ParseError {
    pub(super) fn unknown(word: &str, mode: Mode, before: Option<&'static Spec>) -> Self {
        Self::UnknownCommand { word: excerpt(word), nearest: nearest(word, mode), before }
    }
}

/// Returns the command that a person may have meant. The `text` protocol shows none, and a word
/// longer than any command is none: comparing costs the product of the lengths.
fn nearest(word: &str, mode: Mode) -> Option<&'static str> {
    if mode != Mode::CommandLine || word.len() > MAX_COMPARED {
        return None;
    }
    let word = word.to_lowercase();
    names(mode)
        .map(|name| (strsim::jaro_winkler(&word, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Returns the start of a word, for a message.
pub(super) fn excerpt(word: &str) -> String {
    match word.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => format!("{}...", word.get(..end).unwrap_or_default()),
        None => word.to_owned(),
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand { word, nearest, before } => {
                write!(f, "`{word}` is no command")?;
                match nearest {
                    Some(name) => write!(f, "; did you mean `{name}`?")?,
                    None => f.write_str("; `help` lists them")?,
                }
                match before {
                    Some(spec) => write!(
                        f,
                        " (`{}` takes no more words; quote a word with spaces)",
                        spec.usage()
                    ),
                    None => Ok(()),
                }
            }
            Self::MissingWord { command, word } => {
                write!(f, "`{}` lacks its {word}; the form is `{}`", command.name, command.usage())
            }
            Self::UnexpectedOption { command, word, place } => write!(
                f,
                "`{word}` stands where `{}` needs its {place}; \
                 write `-- {word}` if that is what you mean",
                command.name
            ),
            Self::UnknownOption { command, option } if command.options.is_empty() => {
                write!(f, "`{}` has no option `{option}`; it has none", command.name)
            }
            Self::UnknownOption { command, option } => {
                let all: Vec<&str> = command.options.iter().map(|option| option.name).collect();
                write!(f, "`{}` has no option `{option}`; it has {}", command.name, all.join(", "))
            }
            Self::DuplicateOption { command, option } => {
                write!(f, "`{}` was given {option} twice", command.name)
            }
            Self::OptionValue { command, option, value: Some(value) } => {
                write!(
                    f,
                    "`{}` lacks the value of {option}; write `{option} {value}`",
                    command.name
                )
            }
            Self::OptionValue { command, option, value: None } => {
                write!(f, "`{}` takes no value for {option}", command.name)
            }
            Self::InvalidWord { command, place, why } => {
                write!(f, "`{}`: {place}: {why}", command.name)
            }
            Self::Rejected { command, error } => write!(f, "`{}`: {error}", command.name),
            Self::UnclosedQuote => f.write_str("a quote does not end"),
        }
    }
}

impl std::error::Error for ParseError {}
