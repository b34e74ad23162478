//! Library of the functions that run inside Redis.

use redis::{Cmd, cmd};

/// Version of the library. Every change of a function or of the stored data needs a new one.
pub(super) const VERSION: u32 = 4;
/// Common prefix of the libraries' names.
const FAMILY: &str = "kvrpc_";
/// Prefix of this version's functions.
pub(super) const PREFIX: &str = "kvrpc_4_";

const RECORD: &str = include_str!("lua/record.lua");
const ANSWERS: &str = include_str!("lua/answers.lua");
const STORE: &str = include_str!("lua/store.lua");
const PUTS: &str = include_str!("lua/puts.lua");
const USERS: &str = include_str!("lua/users.lua");
const ROOMS: &str = include_str!("lua/rooms.lua");

/// Source of the library.
pub(super) fn source() -> String {
    format!(
        "#!lua name={FAMILY}{VERSION}\nlocal PREFIX = '{PREFIX}'\n\
         {RECORD}\n{ANSWERS}\n{STORE}\n{PUTS}\n{USERS}\n{ROOMS}"
    )
}

/// Command that loads the library, in place of one of another build.
pub(super) fn load() -> Cmd {
    let mut load = cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(source());
    load
}

/// Command that lists the libraries of every version.
pub(super) fn list() -> Cmd {
    let mut list = cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(format!("{FAMILY}*")).arg("WITHCODE");
    list
}

/// Version of a library, by its name.
pub(super) fn version_of(name: &str) -> Option<u32> {
    name.strip_prefix(FAMILY)?.parse().ok()
}

/// Command that calls a function on keys of one slot; its arguments are added to it.
pub(super) fn call(function: &str, keys: &[&str]) -> Cmd {
    let mut call = Cmd::with_capacity(3 + keys.len() + 8, 256);
    call.arg("FCALL").arg(format!("{PREFIX}{function}")).arg(keys.len());
    for key in keys {
        call.arg(*key);
    }
    call
}
