//! Where the user's name ends and the first pickle begins.

use bytes::BytesMut;

use super::BadPickle;
use crate::dialect::codec::{Input, MAX_MESSAGE_BYTES};

/// How a pickled list or tuple of dicts begins, in every protocol. All but the two empty lists hold
/// a byte that no name holds, so a name is never cut: protocols 2 to 5 by their version; 0 and 1 by
/// the memo's first index, which is 1 in Python 2's C pickler.
const BEGINNINGS: &[&[u8]] = &[
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
    b"(lp0\n",
    b"(lp1\n",
    b"]q\x00",
    b"]q\x01",
    b"(l.",
    b"].",
    b"((dp0\n",
    b"((dp1\n",
    b"(}q\x00",
    b"(}q\x01",
];
const LONGEST: usize = 6;

/// Finds the end of the name, each byte looked at once.
#[derive(Default)]
pub(super) struct Split {
    scanned: usize,
}

impl Split {
    /// Takes the name off the input once it has ended: before a pickle, at a newline, at the end of
    /// input or of 20 quiet ms.
    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
        event: Input,
    ) -> Result<Option<BytesMut>, BadPickle> {
        let found = (self.scanned..input.len())
            .find_map(|at| ending(input.get(at..)?).map(|skipped| (at, skipped)));
        if let Some((at, skipped)) = found.filter(|(at, _)| *at <= MAX_MESSAGE_BYTES) {
            let mut name = input.split_to(at + skipped);
            name.truncate(at);
            if skipped > 0 && name.last() == Some(&b'\r') {
                name.truncate(at - 1);
            }
            return Ok(Some(name));
        }
        // A beginning that starts at the limit is seen whole before the name is too long.
        if found.is_some() || input.len() > MAX_MESSAGE_BYTES + LONGEST {
            input.clear();
            return Err(BadPickle::TooLong);
        }
        if event == Input::Bytes || input.is_empty() {
            // A beginning may be cut: its first bytes are looked at again with the rest of it.
            self.scanned = input.len().saturating_sub(LONGEST - 1);
            return Ok(None);
        }
        Ok(Some(input.split()))
    }
}

/// Whether the name ends before these bytes, and how many of them go with it.
fn ending(rest: &[u8]) -> Option<usize> {
    match rest.first() {
        Some(b'\n') => Some(1),
        Some(0x80 | b'(' | b']')
            if BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning)) =>
        {
            Some(0)
        }
        _ => None,
    }
}
