//! The words and options of one command, and their conversion to types of the model.

use super::{Call, InputSource, Mode, Opt, ParseError, PutCall, Shell, Spec, find, parse_duration};
use crate::model::{self, Expiry, Key, Prefix, RequestId, RoomName, UnixMillis, UserName};

/// A word of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arg<'a> {
    pub(super) text: &'a str,
    /// True if the word has no special meaning, whatever it begins with.
    pub(super) literal: bool,
}

/// The words and options that the parser collected for one command.
pub(super) struct Args<'a> {
    spec: &'static Spec,
    mode: Mode,
    words: Vec<Arg<'a>>,
    options: Vec<(&'static str, Option<&'a str>)>,
    inner: Option<Call>,
    read: usize,
}

impl<'a> Args<'a> {
    pub(super) fn new(spec: &'static Spec, mode: Mode) -> Self {
        Self { spec, mode, words: Vec::new(), options: Vec::new(), inner: None, read: 0 }
    }

    pub(super) fn push(&mut self, word: Arg<'a>) {
        self.words.push(word);
    }

    pub(super) fn nest(&mut self, call: Call) {
        self.inner = Some(call);
    }

    pub(super) fn set(
        &mut self,
        option: &'static Opt,
        value: Option<&'a str>,
    ) -> Result<(), ParseError> {
        if self.options.iter().any(|(name, _)| *name == option.name) {
            return Err(ParseError::DuplicateOption { command: self.spec, option: option.name });
        }
        self.options.push((option.name, value));
        Ok(())
    }

    fn next(&mut self) -> Option<Arg<'a>> {
        let word = self.words.get(self.read).copied();
        self.read += 1;
        word
    }

    fn word(&mut self, place: &'static str) -> Result<Arg<'a>, ParseError> {
        self.next().ok_or(ParseError::MissingWord { command: self.spec, word: place })
    }

    fn refused(&self) -> impl Fn(model::Error) -> ParseError + use<> {
        let command = self.spec;
        move |error| ParseError::Rejected { command, error }
    }

    pub(super) fn invalid(&self, place: &'static str, why: String) -> ParseError {
        ParseError::InvalidWord { command: self.spec, place, why }
    }

    pub(super) fn text(&mut self, place: &'static str) -> Result<String, ParseError> {
        Ok(self.word(place)?.text.to_owned())
    }

    /// Takes all remaining words, joined by single spaces.
    pub(super) fn rest(&mut self) -> String {
        let rest: Vec<&str> = std::iter::from_fn(|| self.next()).map(|word| word.text).collect();
        rest.join(" ")
    }

    pub(super) fn key(&mut self) -> Result<Key, ParseError> {
        Key::new(self.text("KEY")?).map_err(self.refused())
    }

    pub(super) fn user(&mut self) -> Result<UserName, ParseError> {
        UserName::new(self.text("USER")?).map_err(self.refused())
    }

    pub(super) fn optional_user(&mut self) -> Result<Option<UserName>, ParseError> {
        self.next().map(|word| UserName::new(word.text)).transpose().map_err(self.refused())
    }

    pub(super) fn prefix(&mut self) -> Result<Prefix, ParseError> {
        Prefix::new(self.next().map_or("", |word| word.text)).map_err(self.refused())
    }

    pub(super) fn room(&mut self) -> Result<RoomName, ParseError> {
        RoomName::new(self.next().map_or("", |word| word.text)).map_err(self.refused())
    }

    /// Takes the words and options of a put, including the key.
    pub(super) fn put(&mut self) -> Result<PutCall, ParseError> {
        Ok(PutCall {
            key: self.key()?,
            value: self.value()?,
            expiry: self.expiry()?,
            if_revision: self.if_revision()?,
            request_id: self.request_id()?,
        })
    }

    fn value(&mut self) -> Result<InputSource, ParseError> {
        let Arg { text, literal } = self.word("VALUE")?;
        if literal || self.mode == Mode::TextProtocol {
            return Ok(InputSource::Text(text.to_owned()));
        }
        Ok(match text.strip_prefix('@') {
            _ if text == "-" => InputSource::Stdin,
            Some(rest) if rest.starts_with('@') => InputSource::Text(rest.to_owned()),
            Some("") => {
                return Err(self.invalid(
                    "VALUE",
                    "`@` lacks the file's name; `@@` is a literal @".to_owned(),
                ));
            }
            Some(file) => InputSource::File(file.into()),
            None => InputSource::Text(text.to_owned()),
        })
    }

    /// Takes the name of a file; `-` or a missing word is the standard input.
    pub(super) fn file(&mut self) -> InputSource {
        match self.next() {
            None => InputSource::Stdin,
            Some(Arg { text: "-", literal: false }) => InputSource::Stdin,
            Some(word) => InputSource::File(word.text.into()),
        }
    }

    pub(super) fn shell(&mut self) -> Result<Shell, ParseError> {
        let text = self.text("SHELL")?;
        Shell::ALL.into_iter().find(|shell| shell.as_str() == text).ok_or_else(|| {
            self.invalid(
                "SHELL",
                format!("`{}` is none of bash, zsh, fish", super::parse_error::excerpt(&text)),
            )
        })
    }

    /// Returns the `get` or `put` applied to another user's store.
    pub(super) fn managed(&mut self) -> Result<Call, ParseError> {
        let user = self.user()?;
        #[allow(clippy::wildcard_enum_match_arm, reason = "the parser nests a get or a put")]
        match self.inner.take() {
            Some(Call::Get { key }) => Ok(Call::GetOther { user, key }),
            Some(Call::Put(put)) => Ok(Call::PutOther { user, put }),
            _ => Err(ParseError::MissingWord { command: self.spec, word: "get or put" }),
        }
    }

    /// Takes the command whose help is requested.
    pub(super) fn help(&mut self) -> Result<Call, ParseError> {
        let Some(word) = self.next() else { return Ok(Call::Help { command: None }) };
        match find(word.text, self.mode) {
            Some(spec) => Ok(Call::Help { command: Some(spec) }),
            None => Err(ParseError::unknown(word.text, self.mode, None)),
        }
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(option, _)| *option == name).and_then(|(_, value)| *value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    pub(super) fn user_option(&self) -> Result<Option<UserName>, ParseError> {
        self.option("--user").map(UserName::new).transpose().map_err(self.refused())
    }

    pub(super) fn if_revision(&self) -> Result<Option<u64>, ParseError> {
        let Some(text) = self.option("--if-revision") else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(revision) if digits => Ok(Some(revision)),
            _ => Err(self.invalid(
                "--if-revision",
                format!("`{}` is no whole number", super::parse_error::excerpt(text)),
            )),
        }
    }

    pub(super) fn request_id(&self) -> Result<Option<RequestId>, ParseError> {
        let text = self.option("--request-id").unwrap_or_default();
        RequestId::new(text.to_owned()).map_err(self.refused())
    }

    fn expiry(&self) -> Result<Option<Expiry>, ParseError> {
        match (self.option("--ttl"), self.option("--expire-time")) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(self.invalid("--ttl", "give it or --expire-time, not both".to_owned()))
            }
            (Some(ttl), None) => {
                let ttl = parse_duration(ttl).map_err(|why| self.invalid("--ttl", why))?;
                // The bounds do not depend on the time at which the server handles it.
                let expiry = Expiry::After(ttl);
                expiry.resolve(UnixMillis::default()).map_err(self.refused())?;
                Ok(Some(expiry))
            }
            (None, Some(time)) => {
                let invalid = || {
                    let why = format!(
                        "`{}` is no time; write it as 2026-11-21T18:00:00Z",
                        super::parse_error::excerpt(time)
                    );
                    self.invalid("--expire-time", why)
                };
                let time: jiff::Timestamp = time.parse().map_err(|_| invalid())?;
                let millis = u64::try_from(time.as_millisecond()).map_err(|_| invalid())?;
                Ok(Some(Expiry::At(UnixMillis::new(millis))))
            }
        }
    }
}
