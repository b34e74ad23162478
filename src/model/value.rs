//! Values: text or bytes.

use bytes::Bytes;

use super::limits::MAX_VALUE_BYTES;
use super::{Error, Reason, Result};

/// A value of at most 1 MiB, which remembers whether it was put as text or as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    // Invariant: UTF-8 if `text`.
    bytes: Bytes,
    text: bool,
}

impl Value {
    /// A value of text.
    ///
    /// # Errors
    /// `INVALID_VALUE` for one over 1 MiB.
    pub fn text(text: impl Into<String>) -> Result<Self> {
        Self::checked(Bytes::from(text.into()), true)
    }

    /// A value of bytes.
    ///
    /// # Errors
    /// `INVALID_VALUE` for one over 1 MiB.
    pub fn blob(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::checked(bytes.into(), false)
    }

    /// A value that was one before: `text` tells how it was put.
    pub(crate) const fn kept(bytes: Bytes, text: bool) -> Self {
        Self { bytes, text }
    }

    /// A value that the store kept: `text` tells how it was put. Bytes that are no UTF-8 are a blob
    /// whatever it says.
    pub fn stored(bytes: Bytes, text: bool) -> Self {
        let text = text && std::str::from_utf8(&bytes).is_ok();
        Self { bytes, text }
    }

    fn checked(bytes: Bytes, text: bool) -> Result<Self> {
        check(bytes.len())?;
        Ok(Self { bytes, text })
    }

    /// The bytes, UTF-8 for text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, if it was put as such.
    pub fn as_text(&self) -> Option<&str> {
        if self.text { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// Whether it was put as text.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Whether a value may have so many bytes.
pub(super) fn check(bytes: usize) -> Result<()> {
    if bytes > MAX_VALUE_BYTES {
        let message = format!("value has {bytes} bytes; at most 1,048,576 (1 MiB) are allowed");
        return Err(Error::new(Reason::InvalidValue, message).in_field("value"));
    }
    Ok(())
}
