//! The words and options that a command took, and their reading as what the model knows.

use super::{Call, Mode, Opt, PutCall, Shell, Source, Spec, Wrong, find, parse_duration};
use crate::model::{self, Expiry, Key, Prefix, RequestId, RoomName, UnixMillis, UserName};

/// A word as it was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenWord<'a> {
    pub(super) text: &'a str,
    /// Whether the word means itself, whatever it begins with.
    pub(super) literal: bool,
}

/// What the parser took for one command.
pub(super) struct Taken<'a> {
    spec: &'static Spec,
    mode: Mode,
    words: Vec<TakenWord<'a>>,
    options: Vec<(&'static str, Option<&'a str>)>,
    inner: Option<Call>,
    read: usize,
}

impl<'a> Taken<'a> {
    pub(super) fn new(spec: &'static Spec, mode: Mode) -> Self {
        Self { spec, mode, words: Vec::new(), options: Vec::new(), inner: None, read: 0 }
    }

    pub(super) fn push(&mut self, word: TakenWord<'a>) {
        self.words.push(word);
    }

    pub(super) fn nest(&mut self, call: Call) {
        self.inner = Some(call);
    }

    pub(super) fn set(
        &mut self,
        option: &'static Opt,
        value: Option<&'a str>,
    ) -> Result<(), Wrong> {
        if self.options.iter().any(|(name, _)| *name == option.name) {
            return Err(Wrong::Twice { command: self.spec, option: option.name });
        }
        self.options.push((option.name, value));
        Ok(())
    }

    fn next(&mut self) -> Option<TakenWord<'a>> {
        let word = self.words.get(self.read).copied();
        self.read += 1;
        word
    }

    fn word(&mut self, place: &'static str) -> Result<TakenWord<'a>, Wrong> {
        self.next().ok_or(Wrong::Missing { command: self.spec, word: place })
    }

    fn refused(&self) -> impl Fn(model::Error) -> Wrong + use<> {
        let command = self.spec;
        move |error| Wrong::Refused { command, error }
    }

    pub(super) fn wrong(&self, place: &'static str, why: String) -> Wrong {
        Wrong::Word { command: self.spec, place, why }
    }

    pub(super) fn text(&mut self, place: &'static str) -> Result<String, Wrong> {
        Ok(self.word(place)?.text.to_owned())
    }

    /// All words that are left, joined by single spaces.
    pub(super) fn rest(&mut self) -> String {
        let rest: Vec<&str> = std::iter::from_fn(|| self.next()).map(|word| word.text).collect();
        rest.join(" ")
    }

    pub(super) fn key(&mut self) -> Result<Key, Wrong> {
        Key::new(self.text("KEY")?).map_err(self.refused())
    }

    pub(super) fn user(&mut self) -> Result<UserName, Wrong> {
        UserName::new(self.text("USER")?).map_err(self.refused())
    }

    pub(super) fn optional_user(&mut self) -> Result<Option<UserName>, Wrong> {
        self.next().map(|word| UserName::new(word.text)).transpose().map_err(self.refused())
    }

    pub(super) fn prefix(&mut self) -> Result<Prefix, Wrong> {
        Prefix::new(self.next().map_or("", |word| word.text)).map_err(self.refused())
    }

    pub(super) fn room(&mut self) -> Result<RoomName, Wrong> {
        RoomName::new(self.next().map_or("", |word| word.text)).map_err(self.refused())
    }

    /// A put's words and options, the key's word included.
    pub(super) fn put(&mut self) -> Result<PutCall, Wrong> {
        Ok(PutCall {
            key: self.key()?,
            value: self.value()?,
            expiry: self.expiry()?,
            if_revision: self.if_revision()?,
            request_id: self.request_id()?,
        })
    }

    fn value(&mut self) -> Result<Source, Wrong> {
        let TakenWord { text, literal } = self.word("VALUE")?;
        if literal || self.mode == Mode::Door {
            return Ok(Source::Text(text.to_owned()));
        }
        Ok(match text.strip_prefix('@') {
            _ if text == "-" => Source::Stdin,
            Some(rest) if rest.starts_with('@') => Source::Text(rest.to_owned()),
            Some("") => {
                return Err(self
                    .wrong("VALUE", "`@` lacks the file's name; `@@` is a literal @".to_owned()));
            }
            Some(file) => Source::File(file.into()),
            None => Source::Text(text.to_owned()),
        })
    }

    /// A file's name, `-` or nothing for the standard input.
    pub(super) fn file(&mut self) -> Source {
        match self.next() {
            None => Source::Stdin,
            Some(TakenWord { text: "-", literal: false }) => Source::Stdin,
            Some(word) => Source::File(word.text.into()),
        }
    }

    pub(super) fn shell(&mut self) -> Result<Shell, Wrong> {
        let text = self.text("SHELL")?;
        Shell::ALL.into_iter().find(|shell| shell.as_str() == text).ok_or_else(|| {
            self.wrong(
                "SHELL",
                format!("`{}` is none of bash, zsh, fish", super::wrong::shown(&text)),
            )
        })
    }

    /// The get or put of another user's store.
    pub(super) fn managed(&mut self) -> Result<Call, Wrong> {
        let user = self.user()?;
        #[allow(clippy::wildcard_enum_match_arm, reason = "the parser nests a get or a put")]
        match self.inner.take() {
            Some(Call::Get { key }) => Ok(Call::GetOther { user, key }),
            Some(Call::Put(put)) => Ok(Call::PutOther { user, put }),
            _ => Err(Wrong::Missing { command: self.spec, word: "get or put" }),
        }
    }

    /// The command that help is asked for.
    pub(super) fn help(&mut self) -> Result<Call, Wrong> {
        let Some(word) = self.next() else { return Ok(Call::Help { command: None }) };
        match find(word.text, self.mode) {
            Some(spec) => Ok(Call::Help { command: Some(spec) }),
            None => Err(Wrong::unknown(word.text, self.mode, None)),
        }
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(option, _)| *option == name).and_then(|(_, value)| *value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    pub(super) fn user_option(&self) -> Result<Option<UserName>, Wrong> {
        self.option("--user").map(UserName::new).transpose().map_err(self.refused())
    }

    pub(super) fn if_revision(&self) -> Result<Option<u64>, Wrong> {
        let Some(text) = self.option("--if-revision") else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(revision) if digits => Ok(Some(revision)),
            _ => Err(self.wrong(
                "--if-revision",
                format!("`{}` is no whole number", super::wrong::shown(text)),
            )),
        }
    }

    pub(super) fn request_id(&self) -> Result<Option<RequestId>, Wrong> {
        let text = self.option("--request-id").unwrap_or_default();
        RequestId::new(text.to_owned()).map_err(self.refused())
    }

    fn expiry(&self) -> Result<Option<Expiry>, Wrong> {
        match (self.option("--ttl"), self.option("--expire-time")) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(self.wrong("--ttl", "give it or --expire-time, not both".to_owned()))
            }
            (Some(ttl), None) => {
                let ttl = parse_duration(ttl).map_err(|why| self.wrong("--ttl", why))?;
                // The bounds hold at whatever time the server takes it.
                let expiry = Expiry::After(ttl);
                expiry.resolve(UnixMillis::default()).map_err(self.refused())?;
                Ok(Some(expiry))
            }
            (None, Some(time)) => {
                let wrong = || {
                    let why = format!(
                        "`{}` is no time; write it as 2026-11-21T18:00:00Z",
                        super::wrong::shown(time)
                    );
                    self.wrong("--expire-time", why)
                };
                let time: jiff::Timestamp = time.parse().map_err(|_| wrong())?;
                let millis = u64::try_from(time.as_millisecond()).map_err(|_| wrong())?;
                Ok(Some(Expiry::At(UnixMillis::new(millis))))
            }
        }
    }
}
