//! Lookup of a setting: the flag, else the variable, else the file's key, else the default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::file::{self, FileEntry, FileValue};
use super::flags::variable;
use super::parse::Kind;

/// Unchecked configuration: the flags, the variables and the file's name.
#[derive(Debug, Default)]
pub struct RawConfig {
    pub(super) file: Option<PathBuf>,
    pub(super) given: Vec<Given>,
}

/// A flag or a variable that was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: &'static str,
    pub(super) values: Vec<String>,
    pub(super) origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Variable,
}

/// A mistake in the configuration: the setting, its value and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    value: Option<String>,
    rule: String,
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { place: place.into(), value: None, rule: rule.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, so that no value reaches the terminal as control characters.
        match &self.value {
            Some(value) => write!(f, "{} {:?}: {}", self.place, value, self.rule),
            None => write!(f, "{}: {}", self.place, self.rule),
        }
    }
}

/// Source of a setting's value. A message shows it as `--grace`, `KVRPC_GRACE` or
/// `kvrpc.toml:3: grace`.
#[derive(Clone, Debug)]
enum Place {
    Given(Origin),
    File(usize),
    Default,
}

/// All settings given, the errors found so far, and the settings in effect.
pub(super) struct Sources {
    name: String,
    given: BTreeMap<&'static str, Given>,
    entries: Vec<FileEntry>,
    /// Keys that were looked up: all that the file may have.
    known: Vec<&'static str>,
    errors: Vec<ConfigError>,
    /// Key, value and source of each setting in effect.
    effective: Vec<(String, String, String)>,
}

impl Sources {
    /// Reads the configuration file if one was named.
    pub(super) fn read(raw: RawConfig) -> Self {
        let RawConfig { file, given } = raw;
        let mut sources = Self {
            name: file.as_deref().map(|file| file.display().to_string()).unwrap_or_default(),
            given: given.into_iter().map(|given| (given.key, given)).collect(),
            entries: Vec::new(),
            known: Vec::new(),
            errors: Vec::new(),
            effective: Vec::new(),
        };
        if let Some(file) = file {
            sources.read_file(&file);
        }
        sources
    }

    fn read_file(&mut self, file: &Path) {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let (entries, errors) = file::read(&text);
                self.entries = entries;
                for error in errors {
                    let place = format!("{}:{}", self.name, error.line);
                    self.report(ConfigError::new(place, error.message));
                }
            }
            Err(error) => self.report(ConfigError::new(
                format!("--config {}", file.display()),
                format!("cannot be read: {error}"),
            )),
        }
    }

    /// Records an error.
    pub(super) fn report(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Returns a setting that has one value.
    pub(super) fn one<T>(&mut self, key: &'static str, kind: &dyn Kind<T>, default: T) -> T {
        let (values, place) = self.look_up(key);
        let value = match values {
            None => None,
            // The last one wins, as on any command line.
            Some(mut values) => values.pop().and_then(|value| self.parse(key, kind, value, &place)),
        };
        let value = value.unwrap_or(default);
        self.record(key, kind.show(&value), &place);
        value
    }

    /// Returns a setting that has no default.
    pub(super) fn optional<T>(&mut self, key: &'static str, kind: &dyn Kind<T>) -> Option<T> {
        let (values, place) = self.look_up(key);
        let value = self.parse(key, kind, values?.pop()?, &place)?;
        self.record(key, kind.show(&value), &place);
        Some(value)
    }

    /// Returns a setting that may have several values.
    pub(super) fn many<T>(
        &mut self,
        key: &'static str,
        kind: &dyn Kind<T>,
        default: Vec<T>,
    ) -> Vec<T> {
        let (values, place) = self.look_up(key);
        let values = match values {
            Some(values) => values
                .into_iter()
                .flat_map(
                    |value| if let FileValue::List(values) = value { values } else { vec![value] },
                )
                .filter_map(|value| self.parse(key, kind, value, &place))
                .collect(),
            None => default,
        };
        let shown: Vec<_> = values.iter().map(|value| kind.show(value)).collect();
        self.record(key, format!("[{}]", shown.join(", ")), &place);
        values
    }

    /// Returns a setting that has at least one value.
    pub(super) fn at_least_one<T>(
        &mut self,
        key: &'static str,
        kind: &dyn Kind<T>,
        default: Vec<T>,
    ) -> Vec<T> {
        let before = self.errors.len();
        let values = self.many(key, kind, default);
        // If all values are invalid, their errors are enough.
        if values.is_empty() && self.errors.len() == before {
            self.report(ConfigError::new(
                self.place_of(key),
                format!("needs at least one {}", kind.rule()),
            ));
        }
        values
    }

    /// Returns true if a setting was given by flag, variable or file.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key) || self.entries.iter().any(|entry| entry.path == [key])
    }

    /// Returns the name of a setting in messages: the source of its value, else its flag.
    pub(super) fn place_of(&self, key: &str) -> String {
        match (self.given.get(key), self.entries.iter().find(|entry| entry.path == [key])) {
            (Some(given), _) => self.display(key, &Place::Given(given.origin)),
            (None, Some(entry)) => self.display(key, &Place::File(entry.line)),
            (None, None) => format!("--{key}"),
        }
    }

    /// Removes the file's entries below a table and returns each with its place for messages.
    pub(super) fn take_table(&mut self, table: &str) -> Vec<(FileEntry, String)> {
        let all = std::mem::take(&mut self.entries);
        let (taken, rest) = all
            .into_iter()
            .partition(|entry| entry.path.first().is_some_and(|first| first == table));
        self.entries = rest;
        let taken: Vec<FileEntry> = taken;
        let place =
            |entry: &FileEntry| self.display(&entry.path.join("."), &Place::File(entry.line));
        taken
            .into_iter()
            .map(|entry| {
                let place = place(&entry);
                (entry, place)
            })
            .collect()
    }

    /// Adds a setting to those in effect.
    pub(super) fn record_as(&mut self, key: String, shown: String, from: String) {
        self.effective.push((key, shown, from));
    }

    /// Returns the configuration in effect as a file.
    ///
    /// # Errors
    /// Every error recorded, and one for each key of the file that was never looked up.
    pub(super) fn finish(mut self) -> Result<String, Vec<ConfigError>> {
        let known = std::mem::take(&mut self.known);
        for entry in &self.entries {
            let key = entry.path.join(".");
            if !known.contains(&key.as_str()) {
                let near = known.iter().find(|known| is_near(known, &key));
                let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
                let place = self.display(&key, &Place::File(entry.line));
                self.errors.push(ConfigError::new(place, format!("there is no such key{hint}")));
            }
        }
        if self.errors.is_empty() { Ok(render(&self.effective)) } else { Err(self.errors) }
    }

    fn look_up(&mut self, key: &'static str) -> (Option<Vec<FileValue>>, Place) {
        self.known.push(key);
        if let Some(given) = self.given.get(key) {
            let values = given.values.iter().cloned().map(FileValue::Text).collect();
            return (Some(values), Place::Given(given.origin));
        }
        match self.entries.iter().find(|entry| entry.path.join(".") == key) {
            Some(FileEntry { value, line, .. }) => (Some(vec![value.clone()]), Place::File(*line)),
            None => (None, Place::Default),
        }
    }

    fn parse<T>(
        &mut self,
        key: &str,
        kind: &dyn Kind<T>,
        value: FileValue,
        place: &Place,
    ) -> Option<T> {
        let shown = self.display(key, place);
        // Flags and variables are text, whatever the setting's type.
        let fits = !matches!(place, Place::File(_)) || value.kind() == kind.in_file();
        let Some(text) = value.as_text().filter(|_| fits) else {
            let rule =
                format!("must be {}, {}, and is {}", kind.in_file(), kind.rule(), value.kind());
            self.errors.push(ConfigError::new(shown, rule));
            return None;
        };
        match kind.parse(&text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.errors.push(ConfigError {
                    place: shown,
                    value: Some(kind.redacted(&text)),
                    rule,
                });
                None
            }
        }
    }

    fn record(&mut self, key: &str, shown: String, place: &Place) {
        let from = match place {
            Place::Given(Origin::Flag) => format!("--{key}"),
            Place::Given(Origin::Variable) => variable(key),
            Place::File(line) => format!("{}:{line}", self.name),
            Place::Default => "default".to_owned(),
        };
        self.record_as(key.to_owned(), shown, from);
    }

    fn display(&self, key: &str, place: &Place) -> String {
        match place {
            Place::Given(Origin::Flag) | Place::Default => format!("--{key}"),
            Place::Given(Origin::Variable) => variable(key),
            Place::File(line) => format!("{}:{line}: {key}", self.name),
        }
    }
}

/// Returns true if `wrote` may be a misspelling of `known`: it has the same letters, or lacks or
/// adds one. Case, `-` and `_` are ignored.
fn is_near(known: &str, wrote: &str) -> bool {
    let last = |key: &str| {
        key.rsplit('.').next().unwrap_or_default().replace(['-', '_'], "").to_ascii_lowercase()
    };
    let (known, wrote) = (last(known), last(wrote));
    let (long, short) =
        if known.len() >= wrote.len() { (&known, &wrote) } else { (&wrote, &known) };
    let mut rest = long.chars();
    known == wrote
        || (long.len() == short.len() + 1
            && short.chars().all(|c| rest.by_ref().take(2).any(|r| r == c)))
}

/// Writes settings as a configuration file: those outside tables first.
fn render(rows: &[(String, String, String)]) -> String {
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, shown, from) in rows {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        tables
            .entry(table)
            .or_default()
            .push(format!("{:<48} # {from}\n", format!("{name} = {shown}")));
    }
    let mut text = String::new();
    for (table, lines) in tables {
        if !table.is_empty() {
            text.push_str(&format!("\n[{table}]\n"));
        }
        text.extend(lines);
    }
    text
}
