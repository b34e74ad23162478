//! Values: text or bytes.

use bytes::Bytes;

use super::{Error, Reason, Result};

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

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

    /// A value of text that is a part of a message.
    ///
    /// # Errors
    /// `INVALID_VALUE` for one over 1 MiB.
    ///
    /// # Panics
    /// If it is no part of it.
    pub(crate) fn text_of(message: &Bytes, part: &str) -> Result<Self> {
        Self::checked(message.slice_ref(part.as_bytes()), true)
    }

    /// A value that was one before: `text` tells how it was put.
    pub(crate) const fn kept(bytes: Bytes, text: bool) -> Self {
        Self { bytes, text }
    }

    /// A value that the store kept: `text` tells how it was put. Bytes that are no UTF-8 are a blob whatever it says.
    pub fn stored(bytes: Bytes, text: bool) -> Self {
        let text = text && std::str::from_utf8(&bytes).is_ok();
        Self { bytes, text }
    }

    fn checked(bytes: Bytes, text: bool) -> Result<Self> {
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(Error::new(
                Reason::InvalidValue,
                format!("value has {} bytes; at most 1,048,576 (1 MiB) are allowed", bytes.len()),
            )
            .in_field("value"));
        }
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
