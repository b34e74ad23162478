//! The line editor: history, completion of commands and live keys, hints.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustyline::completion::{Completer, Pair, extract_word};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History as _};
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Helper};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::commands::keys::list_keys;
use crate::failure::{Failure, Result};
use crate::session::{ClientSession, Need};
use kvrpc::dialect::grammar::{
    Expect, Mode, Shell, Word, expect, names, parse, quote, split_quoted,
};
use kvrpc::dialect::sanitize;

const PROMPT: &str = "kvrpc> ";
const MAX_HISTORY: usize = 1_000;
/// A completion that takes longer is worse than none.
const KEYS_TIMEOUT: Duration = Duration::from_millis(300);
const MAX_KEYS: u32 = 100;

/// The editor with its history file.
pub(super) struct Editor {
    inner: rustyline::Editor<LineHelper, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(super) fn new(session: Arc<ClientSession>, runtime: Handle) -> Result<Self> {
        let failed =
            |error: ReadlineError| Failure::failed(format!("the terminal cannot be used: {error}"));
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(MAX_HISTORY)
            .map_err(failed)?
            .history_ignore_space(true)
            .build();
        let mut inner = rustyline::Editor::with_config(config).map_err(failed)?;
        let history = session.cache.history();
        if let Some(path) = &history {
            // There is none before the first run.
            let _ = inner.load_history(path);
        }
        inner.set_helper(Some(LineHelper { session, runtime }));
        Ok(Self { inner, history })
    }

    /// Reads a line whenever it is asked to, until the input ends or nobody asks.
    pub(super) fn serve(&mut self, mut asked: Receiver<()>, answer: &Sender<String>) {
        while asked.blocking_recv().is_some() {
            let Some(line) = self.line() else { break };
            if answer.blocking_send(line).is_err() {
                break;
            }
        }
        if let Some(path) = &self.history {
            // A history that cannot be kept is no reason to fail.
            let _ = self.inner.save_history(path);
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            match self.inner.readline(PROMPT) {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    if is_kept(&line) {
                        let _ = self.inner.history_mut().add(&line);
                    }
                    return Some(line);
                }
                // Ctrl-C clears the line.
                Err(ReadlineError::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Returns true if a line may be in the history, which excludes one that may hold a password, typed
/// behind `auth NAME` by mistake.
fn is_kept(line: &str) -> bool {
    let Ok(words) = split_quoted(line) else { return !line.contains("auth") };
    !words.iter().any(|word| word == "auth") || parse(&words, Mode::CommandLine).is_ok()
}

/// Completion and hints.
struct LineHelper {
    session: Arc<ClientSession>,
    runtime: Handle,
}

impl Helper for LineHelper {}
impl Validator for LineHelper {}
impl Highlighter for LineHelper {}

impl Hinter for LineHelper {
    type Hint = String;

    /// The words that are still to come, once a word is complete.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if pos < line.len() || !line.ends_with(' ') {
            return None;
        }
        let expect = expect(&split_quoted(line).ok()?, Mode::CommandLine);
        let words: Vec<String> = expect.words.iter().map(Word::form).collect();
        let value = expect.value_of.and_then(|option| option.value).map(str::to_owned);
        let hint = value.unwrap_or_else(|| words.join(" "));
        (!hint.is_empty()).then_some(hint)
    }
}

impl Completer for LineHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, typed) = extract_word(line, pos, Some('\\'), |c| c == ' ');
        let before = line.get(..start).unwrap_or_default();
        let Ok(words) = split_quoted(before) else { return Ok((start, Vec::new())) };
        // A word that is still being typed may have a quote that does not end yet.
        let typed = split_quoted(typed).ok().and_then(|words| words.into_iter().next());
        let typed = typed.unwrap_or_else(|| {
            line.get(start..pos).unwrap_or_default().trim_start_matches(['\'', '"']).to_owned()
        });
        let expect = expect(&words, Mode::CommandLine);
        let mut candidates = fixed(&expect, &typed);
        if let Some(Word::Needed("KEY") | Word::Optional("PREFIX")) = expect.words.first() {
            candidates.extend(self.keys(&typed));
        }
        Ok((start, candidates.iter().map(|word| pair(word)).collect()))
    }
}

impl LineHelper {
    /// The caller's keys with this beginning; none without a session, for completing opens none.
    fn keys(&self, prefix: &str) -> Vec<String> {
        if !self.session.exists() {
            return Vec::new();
        }
        let ask = list_keys(&self.session, Need::ThisSession, "", prefix, MAX_KEYS, String::new());
        let page = self.runtime.block_on(async { tokio::time::timeout(KEYS_TIMEOUT, ask).await });
        let Ok(Ok(page)) = page else { return Vec::new() };
        // The line would show what is inserted as it is.
        let harmless =
            |key: &String| key.starts_with(prefix) && !key.chars().any(sanitize::is_harmful);
        let mut keys: Vec<String> = page.keys.into_iter().filter(harmless).collect();
        keys.sort_unstable();
        keys
    }
}

/// The words that the grammar knows to be possible.
fn fixed(expect: &Expect, typed: &str) -> Vec<String> {
    let mut all: Vec<&str> = Vec::new();
    if expect.command || matches!(expect.words.first(), Some(Word::Command(_))) {
        all.extend(names(Mode::CommandLine));
    }
    if expect.command && expect.words.is_empty() {
        all.push("exit");
    }
    if typed.starts_with("--") {
        all.extend(expect.options.iter().map(|option| option.name));
    }
    if let Some(Word::Needed("SHELL")) = expect.words.first() {
        all.extend(Shell::ALL.map(Shell::as_str));
    }
    all.into_iter().filter(|word| word.starts_with(typed)).map(str::to_owned).collect()
}

fn pair(word: &str) -> Pair {
    Pair { display: word.to_owned(), replacement: format!("{} ", quote(word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_in_the_history() {
        for (line, kept) in [
            ("put k v", true),
            ("gett k", true),
            ("auth adam", true),
            ("auth adam bill", false),
            ("get k auth adam 'bi ll'", false),
            ("auth adam 'bill", false),
            ("put k 'it", true),
        ] {
            assert_eq!(is_kept(line), kept, "{line}");
        }
    }

    #[test]
    fn what_the_grammar_completes() {
        for (before, typed, want) in [
            ("", "pu", &["put", "putother"][..]),
            ("", "ex", &["export", "exit"]),
            ("get", "p", &[]),
            ("put k v", "--t", &["--ttl"]),
            ("put k v", "get", &["get", "getother"]),
            ("help", "com", &["completions"]),
            ("completions", "z", &["zsh"]),
        ] {
            let words: Vec<&str> = before.split_whitespace().collect();
            assert_eq!(fixed(&expect(&words, Mode::CommandLine), typed), want, "{before} {typed}");
        }
    }
}
