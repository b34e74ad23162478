//! The commands that are calls, each a method of the runner.

pub(super) mod keys;
pub(super) mod rooms;
pub(super) mod services;
mod users;
mod watch;
