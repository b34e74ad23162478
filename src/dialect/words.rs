//! Commands from plain words, and errors in a dialect's words.

use std::borrow::Cow;

use crate::model::request::{Get, GetOther, Put};
use crate::model::{Command, Error, Key, Reason, Result, UserName, Value};

/// Read a key of one's own store.
pub(super) fn get(key: &str) -> Result<Command> {
    Ok(Get { key: Key::new(key)? }.into())
}

/// Read a key of another's store.
pub(super) fn get_other(user: &str, key: &str) -> Result<Command> {
    Ok(GetOther { user: UserName::new(user)?, key: Key::new(key)? }.into())
}

/// Write a key of one's own store, for good.
pub(super) fn put(key: &str, value: Value) -> Result<Command> {
    let key = Key::new(key)?;
    Ok(Put { key, value, expiry: None, if_revision: None, request_id: None }.into())
}

/// Whether a command does nothing but read values or list: when a reply is at its limit, it need
/// not be run.
pub(super) fn is_read(command: &Command) -> bool {
    matches!(
        command,
        Command::Get(_)
            | Command::GetOther(_)
            | Command::ListKeys(_)
            | Command::Scan(_)
            | Command::ListUsers(_)
            | Command::ListAccesses(_)
    )
}

/// What a dialect says for an error: its own words where it has some, else the sentence after a
/// prefix.
pub(super) fn for_error(
    error: &Error,
    words: &[(Reason, &'static str)],
    prefix: &str,
) -> Cow<'static, str> {
    match words.iter().find(|(reason, _)| *reason == error.reason()) {
        Some((_, words)) => Cow::Borrowed(words),
        None => Cow::Owned(format!("{prefix}{}", error.message())),
    }
}

/// What a dialect says after its prefix when a request is over the limit.
pub(super) const TOO_LONG: &str =
    "the message is over 64 KiB (65,536 bytes); no longer one is allowed";
/// What a dialect says after its prefix when a request should be text and is not.
pub(super) const NOT_UTF8: &str = "the message is not UTF-8; only text is allowed";
/// What a dialect says after its prefix in place of a value that would make a reply too long.
pub(super) const REPLY_TOO_LONG: &str = "the reply is over 4 MiB; ask for fewer keys at a time";
