//! Lines into words: with a shell's quotes for people at a prompt, at blanks alone for the door.

use std::borrow::Cow;

use super::Wrong;

/// Splits as a POSIX shell does: blanks part words, `'…'`, `"…"` and `\` keep them together, `#`
/// before a word begins a comment.
///
/// # Errors
/// [`Wrong::Quote`] for a quote that does not end.
pub fn split_quoted(line: &str) -> Result<Vec<String>, Wrong> {
    shlex::split(line).ok_or(Wrong::Quote)
}

/// Splits at ASCII blanks; quotes are characters like any other.
pub fn split_blanks(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace()
}

/// The word as it has to be typed for [`split_quoted`] to give it back.
pub fn quote(word: &str) -> Cow<'_, str> {
    // The one error there is, a NUL, is allowed here.
    shlex::Quoter::new().allow_nul(true).quote(word).unwrap_or(Cow::Borrowed(word))
}
