//! The configuration file: its settings, each with its line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A setting of the file: the parts of its key, its value and its line.
#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) path: Vec<String>,
    pub(super) value: FileValue,
    pub(super) line: usize,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FileValue {
    Text(String),
    Integer(String),
    Bool(bool),
    List(Vec<FileValue>),
    /// A value of a type that no setting has, by the type's name.
    Other(&'static str),
}

impl FileValue {
    /// Returns the name of the type for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }

    /// Returns the text to parse, or `None` for a list or a type that no setting has.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Integer(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            Self::List(_) | Self::Other(_) => None,
        }
    }
}

/// A syntax error in the file.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Returns all settings of a file, and all its syntax errors.
pub(super) fn read(text: &str) -> (Vec<FileEntry>, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut entries = Vec::new();
    flatten(text, &mut Vec::new(), table.get_ref(), &mut entries);
    let bad: Vec<_> = errors
        .into_iter()
        .map(|error| SyntaxError {
            line: line_of(text, &error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })
        .collect();
    // The parser's recovery from a broken line is a guess, not a setting.
    entries.retain(|entry| bad.iter().all(|bad| bad.line != entry.line));
    entries.sort_by_key(|entry| entry.line);
    (entries, bad)
}

fn flatten(text: &str, path: &mut Vec<String>, table: &DeTable<'_>, entries: &mut Vec<FileEntry>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        match value.get_ref().as_table() {
            // An empty table is kept as an entry, so that an unknown name is reported.
            Some(inner) if !inner.is_empty() => flatten(text, path, inner, entries),
            _ => {
                let line = line_of(text, &key.span());
                entries.push(FileEntry {
                    path: path.clone(),
                    value: convert(value.get_ref()),
                    line,
                });
            }
        }
        path.pop();
    }
}

fn convert(value: &DeValue<'_>) -> FileValue {
    match value {
        DeValue::String(text) => FileValue::Text(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            parsed.map_or(FileValue::Other("a number too large"), |number| {
                FileValue::Integer(number.to_string())
            })
        }
        DeValue::Boolean(value) => FileValue::Bool(*value),
        DeValue::Array(values) => {
            FileValue::List(values.iter().map(Spanned::get_ref).map(convert).collect())
        }
        DeValue::Float(_) => FileValue::Other("a fraction"),
        DeValue::Datetime(_) => FileValue::Other("a date"),
        DeValue::Table(_) => FileValue::Other("a table"),
    }
}

/// Returns the line of a span, counted from 1.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}
