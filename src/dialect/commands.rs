//! Commands built from words of text, for the protocols without the command grammar.

use crate::model::request::{Get, GetOther, Put};
use crate::model::{Command, Key, Result, UserName, Value};

/// Builds a read of a key in the caller's store.
pub(super) fn get(key: &str) -> Result<Command> {
    Ok(Get { key: Key::new(key)? }.into())
}

/// Builds a read of a key in another user's store.
pub(super) fn get_other(user: &str, key: &str) -> Result<Command> {
    Ok(GetOther { user: UserName::new(user)?, key: Key::new(key)? }.into())
}

/// Builds a write of a key in the caller's store, without an expiry.
pub(super) fn put(key: &str, value: Value) -> Result<Command> {
    let key = Key::new(key)?;
    Ok(Put { key, value, expiry: None, if_revision: None, request_id: None }.into())
}

/// Returns true for commands that only read values or list. They are skipped once a reply has
/// reached its limit.
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
