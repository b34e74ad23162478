//! The messages of the calls that are made most, read and written as they lie on the wire, without
//! the generated structs between.
//!
//! Only what clients usually send is read here: each field once, none that is unknown, expiries
//! left out. Whatever is different is [`Unusual`], and goes the way of the generated code, which
//! alone says what is wrong with a message. Values are not copied: they are parts of the message,
//! until a store has them.

mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
mod tests;
mod write;

pub(crate) use read::{Unusual, read_batch, read_get, read_pipeline, read_put};
pub(crate) use write::{Answer, write_batch, write_get, write_pipeline};
