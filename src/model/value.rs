//! Values: text or bytes.

use bytes::Bytes;

use super::limits::MAX_VALUE_BYTES;
use super::{Error, Reason, Result};

/// Value of at most 1 MiB, put as text or as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    // Invariant: UTF-8 if `text`.
    bytes: Bytes,
    text: bool,
}

impl Value {
    /// Makes a value of text.
    ///
    /// # Errors
    /// `INVALID_VALUE` if it is over 1 MiB.
    pub fn text(text: impl Into<String>) -> Result<Self> {
        Self::checked(Bytes::from(text.into()), true)
    }

    /// Makes a value of bytes.
    ///
    /// # Errors
    /// `INVALID_VALUE` if it is over 1 MiB.
    pub fn blob(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::checked(bytes.into(), false)
    }

    /// Makes a value of the bytes of an earlier one, unchecked.
    pub(crate) const fn kept(bytes: Bytes, text: bool) -> Self {
        Self { bytes, text }
    }

    /// Makes a value of stored bytes. Bytes that are not UTF-8 are a blob, whatever `text` says.
    pub fn stored(bytes: Bytes, text: bool) -> Self {
        let text = text && std::str::from_utf8(&bytes).is_ok();
        Self { bytes, text }
    }

    fn checked(bytes: Bytes, text: bool) -> Result<Self> {
        check(bytes.len())?;
        Ok(Self { bytes, text })
    }

    /// Returns the bytes; UTF-8 for text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the text, or `None` if the value was put as bytes.
    pub fn as_text(&self) -> Option<&str> {
        if self.text { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// Returns true if the value was put as text.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Returns the bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Checks the length of a value.
///
/// # Errors
/// `INVALID_VALUE` if it is over 1 MiB.
pub(super) fn check(bytes: usize) -> Result<()> {
    if bytes > MAX_VALUE_BYTES {
        let message = format!("value has {bytes} bytes; at most 1,048,576 (1 MiB) are allowed");
        return Err(Error::new(Reason::InvalidValue, message).in_field("value"));
    }
    Ok(())
}
