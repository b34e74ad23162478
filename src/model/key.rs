//! Keys, and the prefixes of listings.

use super::limits::MAX_KEY_BYTES;
use super::{Error, Reason, Result};

/// Key: 1 to 1,024 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks and makes a key.
    ///
    /// # Errors
    /// `INVALID_KEY` if it is empty, over 1,024 bytes, or has a control character (Unicode's Cc).
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check_key(&text)?;
        Ok(Self(text))
    }

    /// Returns the key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key's text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Prefix of the keys in a listing: at most 1,024 bytes of UTF-8 without control characters. The
/// empty prefix is that of every key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// Checks and makes a prefix.
    ///
    /// # Errors
    /// `INVALID_KEY` if it is over 1,024 bytes or has a control character.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text, "prefix")?;
        Ok(Self(text))
    }

    /// Returns the prefix's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the text of a [`Key`].
///
/// # Errors
/// `INVALID_KEY`.
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
    // Control characters are the bytes below 0x20, 0x7f, and U+0080..U+009F (0xc2 0x80..0x9f). Most
    // keys are plain ASCII, for which one pass is enough; without an early exit, the loop checks
    // several bytes at a time.
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
