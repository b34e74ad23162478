//! Keys and the prefixes that listings take.

use super::limits::MAX_KEY_BYTES;
use super::{Error, Reason, Result};

/// A key: 1 to 1,024 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// `INVALID_KEY` for an empty one, one over 1,024 bytes, or one with a control character
    /// (Unicode's Cc).
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check_key(&text)?;
        Ok(Self(text))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's text, taken out.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// What the keys of a listing begin with: at most 1,024 bytes of UTF-8 without control characters.
/// Empty: every key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// Checks a prefix.
    ///
    /// # Errors
    /// `INVALID_KEY` for one over 1,024 bytes or with a control character.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text, "prefix")?;
        Ok(Self(text))
    }

    /// The prefix's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it can be a [`Key`].
pub(super) fn check_key(text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(invalid("key is empty; a key is 1 to 1,024 bytes".to_owned(), "key"));
    }
    check(text, "key")
}

fn check(text: &str, what: &'static str) -> Result<()> {
    if text.len() > MAX_KEY_BYTES {
        return Err(invalid(
            format!("{what} has {} bytes; at most 1,024 are allowed", text.len()),
            what,
        ));
    }
    // Only bytes below 0x20, 0x7f and those of U+0080..U+009F (0xc2 0x80..0x9f) are control
    // characters: most keys are plain ASCII and are done after one look at each byte; without a way
    // out of the loop, at several at a time.
    let plain = text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte));
    if !plain && let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(invalid(
            format!("{what} has the control character U+{:04X}; none is allowed", control as u32),
            what,
        ));
    }
    Ok(())
}

fn invalid(message: String, field: &'static str) -> Error {
    Error::new(Reason::InvalidKey, message).in_field(field)
}
