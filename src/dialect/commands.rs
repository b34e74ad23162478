//! Commands built from words of text, for the protocols without the command grammar.

use crate::model::{Command, Key, Put, Result, UserName, Value};

/// Builds a read of a key in the caller's store.
pub(super) fn get(key: &str) -> Result<Command> {
    Ok(Command::Get { key: Key::new(key)? })
}

/// Builds a read of a key in another user's store.
pub(super) fn get_other(user: &str, key: &str) -> Result<Command> {
    Ok(Command::GetOther { user: UserName::new(user)?, key: Key::new(key)? })
}

/// Builds a write of a key in the caller's store, without an expiry.
pub(super) fn put(key: &str, value: Value) -> Result<Command> {
    Ok(Command::Put {
        put: Put { key: Key::new(key)?, value, expiry: None, if_revision: None },
        request_id: None,
    })
}

/// Returns true for commands that only read values or list. They are skipped once a reply has
/// reached its limit.
pub(super) fn is_read(command: &Command) -> bool {
    matches!(
        command,
        Command::Get { .. }
            | Command::GetOther { .. }
            | Command::ListKeys { .. }
            | Command::Scan { .. }
            | Command::ListUsers { .. }
            | Command::ListAccesses { .. }
    )
}
