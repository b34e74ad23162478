//! Splitting of lines into words: with shell quotes at the prompt, at blanks alone for the `text`
//! protocol.

use std::borrow::Cow;

use super::ParseError;

/// Splits a line as a POSIX shell does: blanks separate words, `'…'`, `"…"` and `\` keep them
/// together, `#` at the start of a word begins a comment.
///
/// # Errors
/// [`ParseError::UnclosedQuote`] for a quote that is not closed.
pub fn split_quoted(line: &str) -> Result<Vec<String>, ParseError> {
    shlex::split(line).ok_or(ParseError::UnclosedQuote)
}

/// Splits a line at ASCII blanks; quotes have no special meaning.
pub fn split_blanks(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace()
}

/// Returns the word quoted so that [`split_quoted`] yields it unchanged.
pub fn quote(word: &str) -> Cow<'_, str> {
    // A NUL, the only possible error, is allowed here.
    shlex::Quoter::new().allow_nul(true).quote(word).unwrap_or(Cow::Borrowed(word))
}
