//! The parser from words to calls. All words are parsed before the first call runs.

use super::args::{Arg, Args};
use super::parse_error::excerpt;
use super::{Call, Mode, Opt, ParseError, Spec, Word, find};

/// A call, and the table row of its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedCommand {
    /// Table row of the command.
    pub spec: &'static Spec,
    /// The command with its words checked.
    pub call: Call,
}

/// Parses the words of a chain of commands.
///
/// # Errors
/// The first error; then no command of the chain may run.
pub fn parse<S: AsRef<str>>(words: &[S], mode: Mode) -> Result<Vec<ParsedCommand>, ParseError> {
    let mut reader = Parser { rest: words, mode };
    let mut chain: Vec<ParsedCommand> = Vec::new();
    while let Some(name) = reader.next() {
        let before = chain.last().map(|parsed| parsed.spec);
        let spec = find(name, mode).ok_or_else(|| ParseError::unknown(name, mode, before))?;
        chain.push(ParsedCommand { spec, call: reader.command(spec)? });
    }
    Ok(chain)
}

struct Parser<'a, S> {
    rest: &'a [S],
    mode: Mode,
}

impl<'a, S: AsRef<str>> Parser<'a, S> {
    fn peek(&self) -> Option<&'a str> {
        self.rest.first().map(AsRef::as_ref)
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first.as_ref())
    }

    /// Parses a command, or returns its help if that is requested anywhere among its words and
    /// options.
    fn command(&mut self, spec: &'static Spec) -> Result<Call, ParseError> {
        let help = Call::Help { command: Some(spec) };
        if self.mode == Mode::CommandLine && matches!(self.peek(), Some("--help" | "-h")) {
            self.next();
            return Ok(help);
        }
        match self.words_and_options(spec) {
            Err(
                ParseError::UnexpectedOption { word, .. }
                | ParseError::UnknownOption { option: word, .. },
            ) if self.mode == Mode::CommandLine && word == "--help" => Ok(help),
            read => read,
        }
    }

    fn words_and_options(&mut self, spec: &'static Spec) -> Result<Call, ParseError> {
        let mut taken = Args::new(spec, self.mode);
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
                        None => {
                            return Err(ParseError::MissingWord {
                                command: spec,
                                word: "get or put",
                            });
                        }
                    }
                }
                Word::Command(_) => {
                    if let Some(text) = self.peek().filter(|text| !text.starts_with("--")) {
                        self.next();
                        taken.push(Arg { text, literal: false });
                    }
                }
            }
        }
        while let Some((option, value)) = self.option(spec)? {
            taken.set(option, value)?;
        }
        (spec.build)(&mut taken)
    }

    fn needed(&mut self, spec: &'static Spec, place: &'static str) -> Result<Arg<'a>, ParseError> {
        let missing = ParseError::MissingWord { command: spec, word: place };
        let text = self.next().ok_or(missing)?;
        if self.mode == Mode::TextProtocol {
            return Ok(Arg { text, literal: true });
        }
        if text == "--" {
            let missing = ParseError::MissingWord { command: spec, word: place };
            return Ok(Arg { text: self.next().ok_or(missing)?, literal: true });
        }
        if text.starts_with("--") {
            return Err(ParseError::UnexpectedOption { command: spec, word: excerpt(text), place });
        }
        Ok(Arg { text, literal: false })
    }

    fn optional(&mut self) -> Option<Arg<'a>> {
        match self.rest {
            [dashes, word, rest @ ..] if dashes.as_ref() == "--" => {
                self.rest = rest;
                Some(Arg { text: word.as_ref(), literal: true })
            }
            [word, rest @ ..]
                if !word.as_ref().starts_with("--") && find(word.as_ref(), self.mode).is_none() =>
            {
                self.rest = rest;
                Some(Arg { text: word.as_ref(), literal: self.mode == Mode::TextProtocol })
            }
            _ => None,
        }
    }

    /// Takes the next option with its value, which follows `=` or is the next word.
    fn option(
        &mut self,
        spec: &'static Spec,
    ) -> Result<Option<(&'static Opt, Option<&'a str>)>, ParseError> {
        let Some(word) = self.peek().filter(|word| word.starts_with("--")) else { return Ok(None) };
        self.next();
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(option) = spec.options.iter().find(|option| option.name == name) else {
            return Err(ParseError::UnknownOption { command: spec, option: excerpt(name) });
        };
        let invalid =
            || ParseError::OptionValue { command: spec, option: option.name, value: option.value };
        match (option.value, inline) {
            (Some(_), Some(value)) => Ok(Some((option, Some(value)))),
            (Some(_), None) => Ok(Some((option, Some(self.next().ok_or_else(invalid)?)))),
            (None, None) => Ok(Some((option, None))),
            (None, Some(_)) => Err(invalid()),
        }
    }
}
