//! The functions that run inside Redis.

use redis::{Cmd, cmd};

/// Their version. A change of the functions, or of how anything is kept, is another one.
pub(super) const VERSION: u32 = 3;
/// What the libraries of all versions begin with.
const FAMILY: &str = "kvrpc_";
/// What the functions of this version begin with.
pub(super) const PREFIX: &str = "kvrpc_3_";

const RECORD: &str = include_str!("lua/record.lua");
const ANSWERS: &str = include_str!("lua/answers.lua");
const STORE: &str = include_str!("lua/store.lua");
const PUTS: &str = include_str!("lua/puts.lua");
const PEOPLE: &str = include_str!("lua/people.lua");
const ROOMS: &str = include_str!("lua/rooms.lua");

/// The library's source.
pub(super) fn source() -> String {
    format!(
        "#!lua name={FAMILY}{VERSION}\nlocal PREFIX = '{PREFIX}'\n{RECORD}\n{ANSWERS}\n{STORE}\n{PUTS}\n{PEOPLE}\n{ROOMS}"
    )
}

/// Loads the library where it is not there, or is that of another build.
pub(super) fn load() -> Cmd {
    let mut load = cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(source());
    load
}

/// Lists the libraries of every version.
pub(super) fn list() -> Cmd {
    let mut list = cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(format!("{FAMILY}*")).arg("WITHCODE");
    list
}

/// The version of a library of this name.
pub(super) fn version_of(name: &str) -> Option<u32> {
    name.strip_prefix(FAMILY)?.parse().ok()
}

/// A call of a function on keys of one slot.
pub(super) fn call(function: &str, keys: &[&str]) -> Cmd {
    let mut call = Cmd::with_capacity(3 + keys.len() + 8, 256);
    call.arg("FCALL").arg(format!("{PREFIX}{function}")).arg(keys.len());
    for key in keys {
        call.arg(*key);
    }
    call
}
