//! The command grammar, shared by the command line, the interactive prompt and the `text` protocol.
//!
//! [`COMMANDS`] is the only list of commands: the parser, the help, the completions and the manual
//! page are generated from it. A new command is one row there and one variant of [`Call`].
//! Splitting a line into words is separate from parsing, since the `text` protocol has no shell
//! quotes. Absent on purpose: I/O, async, sockets.

mod args;
mod call;
mod duration;
mod expect;
mod parse;
mod parse_error;
mod spec;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use call::{Call, InputSource, PutCall, Shell};
pub use duration::parse_duration;
pub use expect::{Expect, expect};
pub use parse::{ParsedCommand, parse};
pub use parse_error::ParseError;
pub use spec::{Availability, Mode, Opt, Spec, Word, find, names};
pub use split::{quote, split_blanks, split_quoted};
pub use table::COMMANDS;
