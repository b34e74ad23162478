//! Words into calls. All words are parsed before the first call is given out.

use super::words::{Taken, TakenWord};
use super::wrong::shown;
use super::{Call, Mode, Opt, Spec, Word, Wrong, find};

/// A call, and the row that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The command that was named.
    pub spec: &'static Spec,
    /// What it asks for.
    pub call: Call,
}

/// Parses the words of a chain of commands.
///
/// # Errors
/// The first thing that is wrong; then nothing of the chain may run.
pub fn parse<S: AsRef<str>>(words: &[S], mode: Mode) -> Result<Vec<Parsed>, Wrong> {
    let mut reader = Reader { rest: words, mode };
    let mut chain: Vec<Parsed> = Vec::new();
    while let Some(name) = reader.next() {
        let before = chain.last().map(|parsed| parsed.spec);
        let spec = find(name, mode).ok_or_else(|| Wrong::unknown(name, mode, before))?;
        chain.push(Parsed { spec, call: reader.command(spec)? });
    }
    Ok(chain)
}

struct Reader<'a, S> {
    rest: &'a [S],
    mode: Mode,
}

impl<'a, S: AsRef<str>> Reader<'a, S> {
    fn peek(&self) -> Option<&'a str> {
        self.rest.first().map(AsRef::as_ref)
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first.as_ref())
    }

    /// A command, or its help, wherever among its words and options that is asked for.
    fn command(&mut self, spec: &'static Spec) -> Result<Call, Wrong> {
        let help = Call::Help { command: Some(spec) };
        if self.mode == Mode::CommandLine && matches!(self.peek(), Some("--help" | "-h")) {
            self.next();
            return Ok(help);
        }
        match self.words_and_options(spec) {
            Err(Wrong::Dashes { word, .. } | Wrong::Option { option: word, .. })
                if self.mode == Mode::CommandLine && word == "--help" =>
            {
                Ok(help)
            }
            read => read,
        }
    }

    fn words_and_options(&mut self, spec: &'static Spec) -> Result<Call, Wrong> {
        let mut taken = Taken::new(spec, self.mode);
        for word in spec.words {
            match word {
                Word::Needed(place) => taken.push(self.needed(spec, place)?),
                Word::Many(place) => {
                    taken.push(self.needed(spec, place)?);
                    while let Some(more) = self.optional() {
                        taken.push(more);
                    }
                }
                Word::Optional(_) => match self.optional() {
                    Some(word) => taken.push(word),
                    None => break,
                },
                Word::GetOrPut => {
                    let name = self.needed(spec, "get or put")?.text;
                    match find(name, self.mode).filter(|inner| matches!(inner.name, "get" | "put"))
                    {
                        Some(inner) => {
                            let call = self.command(inner)?;
                            if matches!(call, Call::Help { .. }) {
                                return Ok(call);
                            }
                            taken.nest(call);
                        }
                        None => return Err(Wrong::Missing { command: spec, word: "get or put" }),
                    }
                }
                Word::Command(_) => {
                    if let Some(text) = self.peek().filter(|text| !text.starts_with("--")) {
                        self.next();
                        taken.push(TakenWord { text, literal: false });
                    }
                }
            }
        }
        while let Some((option, value)) = self.option(spec)? {
            taken.set(option, value)?;
        }
        (spec.build)(&mut taken)
    }

    fn needed(&mut self, spec: &'static Spec, place: &'static str) -> Result<TakenWord<'a>, Wrong> {
        let missing = Wrong::Missing { command: spec, word: place };
        let text = self.next().ok_or(missing)?;
        if self.mode == Mode::Door {
            return Ok(TakenWord { text, literal: true });
        }
        if text == "--" {
            let missing = Wrong::Missing { command: spec, word: place };
            return Ok(TakenWord { text: self.next().ok_or(missing)?, literal: true });
        }
        if text.starts_with("--") {
            return Err(Wrong::Dashes { command: spec, word: shown(text), place });
        }
        Ok(TakenWord { text, literal: false })
    }

    fn optional(&mut self) -> Option<TakenWord<'a>> {
        match self.rest {
            [dashes, word, rest @ ..] if dashes.as_ref() == "--" => {
                self.rest = rest;
                Some(TakenWord { text: word.as_ref(), literal: true })
            }
            [word, rest @ ..]
                if !word.as_ref().starts_with("--") && find(word.as_ref(), self.mode).is_none() =>
            {
                self.rest = rest;
                Some(TakenWord { text: word.as_ref(), literal: self.mode == Mode::Door })
            }
            _ => None,
        }
    }

    /// The next option with its value, which may follow `=` or be the next word.
    fn option(
        &mut self,
        spec: &'static Spec,
    ) -> Result<Option<(&'static Opt, Option<&'a str>)>, Wrong> {
        let Some(word) = self.peek().filter(|word| word.starts_with("--")) else { return Ok(None) };
        self.next();
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(option) = spec.options.iter().find(|option| option.name == name) else {
            return Err(Wrong::Option { command: spec, option: shown(name) });
        };
        let wrong =
            || Wrong::OptionValue { command: spec, option: option.name, value: option.value };
        match (option.value, inline) {
            (Some(_), Some(value)) => Ok(Some((option, Some(value)))),
            (Some(_), None) => Ok(Some((option, Some(self.next().ok_or_else(wrong)?)))),
            (None, None) => Ok(Some((option, None))),
            (None, Some(_)) => Err(wrong()),
        }
    }
}
