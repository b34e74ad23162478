//! Errors in the wording of a protocol.

use std::borrow::Cow;

use crate::model::{Error, Reason};

/// Sentence for a request over the limit; it follows the protocol's error prefix.
pub(super) const TOO_LONG: &str =
    "the message is over 64 KiB (65,536 bytes); no longer one is allowed";
/// Sentence for a request that must be text and is not UTF-8; it follows the error prefix.
pub(super) const NOT_UTF8: &str = "the message is not UTF-8; only text is allowed";
/// Sentence in place of a value that would make the reply too long; it follows the error prefix.
pub(super) const REPLY_TOO_LONG: &str = "the reply is over 4 MiB; ask for fewer keys at a time";

/// Returns the protocol's own wording of an error, or its prefix and the error's sentence if it
/// has none for this reason.
pub(super) fn for_error(
    error: &Error,
    wording: &[(Reason, &'static str)],
    prefix: &str,
) -> Cow<'static, str> {
    match wording.iter().find(|(reason, _)| *reason == error.reason()) {
        Some((_, text)) => Cow::Borrowed(text),
        None => Cow::Owned(format!("{prefix}{}", error.message())),
    }
}
