//! Why words are no commands.

use std::fmt;

use super::{Mode, Spec, names};
use crate::model;

/// The longest part of a word that a message repeats, in characters.
const MAX_SHOWN: usize = 40;

/// Why words are no commands. Nothing ran.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are what the sentence names")]
pub enum Wrong {
    /// No command has this name.
    Unknown { word: String, nearest: Option<&'static str>, before: Option<&'static Spec> },
    /// A command lacks a word.
    Missing { command: &'static Spec, word: &'static str },
    /// A word that begins with `--` where a plain one is needed.
    Dashes { command: &'static Spec, word: String, place: &'static str },
    /// The command has no such option.
    Option { command: &'static Spec, option: String },
    /// The option was given before.
    Twice { command: &'static Spec, option: &'static str },
    /// The option needs a value, or takes none.
    OptionValue { command: &'static Spec, option: &'static str, value: Option<&'static str> },
    /// A word or value that is not of its kind.
    Word { command: &'static Spec, place: &'static str, why: String },
    /// A word that the model refuses, with the error that a server would give.
    Refused { command: &'static Spec, error: model::Error },
    /// A quote does not end.
    Quote,
}

impl Wrong {
    pub(super) fn unknown(word: &str, mode: Mode, before: Option<&'static Spec>) -> Self {
        let nearest = names(mode)
            .map(|name| (strsim::jaro_winkler(&word.to_lowercase(), name), name))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name);
        Self::Unknown { word: shown(word), nearest, before }
    }
}

/// The beginning of a word, for a message.
pub(super) fn shown(word: &str) -> String {
    match word.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", word.get(..end).unwrap_or_default()),
        None => word.to_owned(),
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { word, nearest, before } => {
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
            Self::Missing { command, word } => {
                write!(f, "`{}` lacks its {word}; the form is `{}`", command.name, command.usage())
            }
            Self::Dashes { command, word, place } => write!(
                f,
                "`{word}` stands where `{}` needs its {place}; write `-- {word}` if that is what you mean",
                command.name
            ),
            Self::Option { command, option } if command.options.is_empty() => {
                write!(f, "`{}` has no option `{option}`; it has none", command.name)
            }
            Self::Option { command, option } => {
                let all: Vec<&str> = command.options.iter().map(|option| option.name).collect();
                write!(f, "`{}` has no option `{option}`; it has {}", command.name, all.join(", "))
            }
            Self::Twice { command, option } => {
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
            Self::Word { command, place, why } => write!(f, "`{}`: {place}: {why}", command.name),
            Self::Refused { command, error } => write!(f, "`{}`: {error}", command.name),
            Self::Quote => f.write_str("a quote does not end"),
        }
    }
}

impl std::error::Error for Wrong {}
