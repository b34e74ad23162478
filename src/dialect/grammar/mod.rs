//! The one grammar of commands: of the command line, of the interactive prompt, and of the socket
//! dialect `text`.
//!
//! [`COMMANDS`] is the single source of what there is: the parser, the help, the completions and
//! the manual read it. A new command is one row there and one variant of [`Call`]. Splitting a line
//! into words stands apart from parsing, since a shell's quotes mean nothing at the door. Absent on
//! purpose: I/O, async, sockets.

mod call;
mod duration;
mod expect;
mod parse;
mod spec;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod words;
mod wrong;

pub use call::{Call, PutCall, Shell, Source};
pub use duration::parse_duration;
pub use expect::{Expect, expect};
pub use parse::{Parsed, parse};
pub use spec::{Mode, Opt, Place, Spec, Word, find, names};
pub use split::{quote, split_blanks, split_quoted};
pub use table::COMMANDS;
pub use wrong::Wrong;
