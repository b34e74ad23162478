//! The command grammar, and the codecs of the socket dialects. No sockets, no tasks, no clock.

pub mod grammar;
