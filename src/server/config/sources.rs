//! A setting's value, wherever it was given: flag, variable, file, default, in this order.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::file::{self, Entry, Value};
use super::flags::variable;
use super::parse::Kind;

/// The configuration as it was given, unchecked.
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

/// A mistake: the setting, as it was given, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    place: String,
    value: Option<String>,
    rule: String,
}

impl Wrong {
    pub(super) fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { place: place.into(), value: None, rule: rule.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value is whatever somebody typed: none of it may drive a terminal.
        match &self.value {
            Some(value) => write!(f, "{} {:?}: {}", self.place, value, self.rule),
            None => write!(f, "{}: {}", self.place, self.rule),
        }
    }
}

/// Where a setting's value stands, for a message: `--grace`, `KVRPC_GRACE`, `kvrpc.toml:3: grace`,
/// `grace` by default.
#[derive(Clone, Debug)]
enum Place {
    Given(Origin),
    File(usize),
    Default,
}

/// All that was given, and what has been made of it so far.
pub(super) struct Sources {
    name: String,
    given: BTreeMap<&'static str, Given>,
    entries: Vec<Entry>,
    /// Keys that were asked for: all that a file may have.
    known: Vec<&'static str>,
    wrong: Vec<Wrong>,
    effective: Vec<(String, String, String)>,
}

impl Sources {
    /// Reads the file, if there is one.
    pub(super) fn read(raw: RawConfig) -> Self {
        let RawConfig { file, given } = raw;
        let mut sources = Self {
            name: file.as_deref().map(|file| file.display().to_string()).unwrap_or_default(),
            given: given.into_iter().map(|given| (given.key, given)).collect(),
            entries: Vec::new(),
            known: Vec::new(),
            wrong: Vec::new(),
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
                let (entries, bad) = file::read(&text);
                self.entries = entries;
                for bad in bad {
                    self.wrong(Wrong::new(format!("{}:{}", self.name, bad.line), bad.message));
                }
            }
            Err(error) => self.wrong(Wrong::new(
                format!("--config {}", file.display()),
                format!("cannot be read: {error}"),
            )),
        }
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, wrong: Wrong) {
        self.wrong.push(wrong);
    }

    /// A setting that has one value.
    pub(super) fn one<T>(&mut self, key: &'static str, kind: &dyn Kind<T>, default: T) -> T {
        let (values, place) = self.look_up(key);
        let value = match values {
            None => None,
            // The last one counts, as with any command line.
            Some(mut values) => values.pop().and_then(|value| self.parse(key, kind, value, &place)),
        };
        let value = value.unwrap_or(default);
        self.note(key, kind.show(&value), &place);
        value
    }

    /// A setting that may have no value.
    pub(super) fn optional<T>(&mut self, key: &'static str, kind: &dyn Kind<T>) -> Option<T> {
        let (values, place) = self.look_up(key);
        let value = self.parse(key, kind, values?.pop()?, &place)?;
        self.note(key, kind.show(&value), &place);
        Some(value)
    }

    /// A setting that may have several values; `default` if it has none.
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
                    |value| if let Value::List(values) = value { values } else { vec![value] },
                )
                .filter_map(|value| self.parse(key, kind, value, &place))
                .collect(),
            None => default,
        };
        let shown: Vec<_> = values.iter().map(|value| kind.show(value)).collect();
        self.note(key, format!("[{}]", shown.join(", ")), &place);
        values
    }

    /// A setting that must have a value and may have several.
    pub(super) fn at_least_one<T>(
        &mut self,
        key: &'static str,
        kind: &dyn Kind<T>,
        default: Vec<T>,
    ) -> Vec<T> {
        let before = self.wrong.len();
        let values = self.many(key, kind, default);
        // With a mistake in each of its values, there is nothing more to say.
        if values.is_empty() && self.wrong.len() == before {
            self.wrong(Wrong::new(
                self.place_of(key),
                format!("needs at least one {}", kind.rule()),
            ));
        }
        values
    }

    /// Whether anybody gave a setting.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key) || self.entries.iter().any(|entry| entry.path == [key])
    }

    /// What to call a setting in a message: the way it was given, else the flag.
    pub(super) fn place_of(&self, key: &str) -> String {
        match (self.given.get(key), self.entries.iter().find(|entry| entry.path == [key])) {
            (Some(given), _) => self.display(key, &Place::Given(given.origin)),
            (None, Some(entry)) => self.display(key, &Place::File(entry.line)),
            (None, None) => format!("--{key}"),
        }
    }

    /// Takes the file's entries under a table out, each with its place for a message.
    pub(super) fn take_table(&mut self, table: &str) -> Vec<(Entry, String)> {
        let all = std::mem::take(&mut self.entries);
        let (taken, rest) = all
            .into_iter()
            .partition(|entry| entry.path.first().is_some_and(|first| first == table));
        self.entries = rest;
        let taken: Vec<Entry> = taken;
        let place = |entry: &Entry| self.display(&entry.path.join("."), &Place::File(entry.line));
        taken
            .into_iter()
            .map(|entry| {
                let place = place(&entry);
                (entry, place)
            })
            .collect()
    }

    /// Adds a row to what is in effect.
    pub(super) fn note_as(&mut self, key: String, shown: String, from: String) {
        self.effective.push((key, shown, from));
    }

    /// All mistakes, those about keys that nothing asked for included; else the configuration in
    /// effect.
    pub(super) fn finish(mut self) -> Result<String, Vec<Wrong>> {
        let known = std::mem::take(&mut self.known);
        for entry in &self.entries {
            let key = entry.path.join(".");
            if !known.contains(&key.as_str()) {
                let near = known.iter().find(|known| is_near(known, &key));
                let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
                let place = self.display(&key, &Place::File(entry.line));
                self.wrong.push(Wrong::new(place, format!("there is no such key{hint}")));
            }
        }
        if self.wrong.is_empty() { Ok(render(&self.effective)) } else { Err(self.wrong) }
    }

    fn look_up(&mut self, key: &'static str) -> (Option<Vec<Value>>, Place) {
        self.known.push(key);
        if let Some(given) = self.given.get(key) {
            let values = given.values.iter().cloned().map(Value::Text).collect();
            return (Some(values), Place::Given(given.origin));
        }
        match self.entries.iter().find(|entry| entry.path.join(".") == key) {
            Some(Entry { value, line, .. }) => (Some(vec![value.clone()]), Place::File(*line)),
            None => (None, Place::Default),
        }
    }

    fn parse<T>(
        &mut self,
        key: &str,
        kind: &dyn Kind<T>,
        value: Value,
        place: &Place,
    ) -> Option<T> {
        let shown = self.display(key, place);
        // What a flag or a variable says is text, whatever the setting's type.
        let fits = !matches!(place, Place::File(_)) || value.kind() == kind.in_file();
        let Some(text) = value.as_text().filter(|_| fits) else {
            let rule =
                format!("must be {}, {}, and is {}", kind.in_file(), kind.rule(), value.kind());
            self.wrong.push(Wrong::new(shown, rule));
            return None;
        };
        match kind.parse(&text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.wrong.push(Wrong { place: shown, value: Some(kind.tell(&text)), rule });
                None
            }
        }
    }

    fn note(&mut self, key: &str, shown: String, place: &Place) {
        let from = match place {
            Place::Given(Origin::Flag) => format!("--{key}"),
            Place::Given(Origin::Variable) => variable(key),
            Place::File(line) => format!("{}:{line}", self.name),
            Place::Default => "default".to_owned(),
        };
        self.note_as(key.to_owned(), shown, from);
    }

    fn display(&self, key: &str, place: &Place) -> String {
        match place {
            Place::Given(Origin::Flag) | Place::Default => format!("--{key}"),
            Place::Given(Origin::Variable) => variable(key),
            Place::File(line) => format!("{}:{line}: {key}", self.name),
        }
    }
}

/// Whether somebody who wrote `wrote` may have meant `known`: the same letters, or all but one of
/// them in order.
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

/// The settings as a file would have them: those without a table first.
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
