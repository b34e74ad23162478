//! The boundary between the user's name and the first pickle.

use bytes::BytesMut;

use super::BadPickle;
use crate::dialect::codec::{Input, MAX_MESSAGE_BYTES};

/// First bytes of a pickled list or tuple of dicts, in every pickle protocol. All but the two empty
/// lists contain a byte that is not allowed in names, so a name is never cut. Protocols 2 to 5 are
/// recognised by their version, 0 and 1 by the first memo index, which is 1 in the C pickler of
/// Python 2.
const PICKLE_STARTS: &[&[u8]] = &[
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
const MAX_START_BYTES: usize = 6;

/// Search for the end of the name; each byte is examined once.
#[derive(Default)]
pub(super) struct NameSplitter {
    scanned: usize,
}

impl NameSplitter {
    /// Takes the name off the input once it is complete: before a pickle, at a newline, at the end
    /// of input or after a pause.
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
        // A pickle that starts exactly at the limit is recognised before the name counts as too
        // long.
        if found.is_some() || input.len() > MAX_MESSAGE_BYTES + MAX_START_BYTES {
            input.clear();
            return Err(BadPickle::TooLong);
        }
        if event == Input::Bytes || input.is_empty() {
            // A pickle's first bytes may be incomplete; they are examined again with the rest.
            self.scanned = input.len().saturating_sub(MAX_START_BYTES - 1);
            return Ok(None);
        }
        Ok(Some(input.split()))
    }
}

/// Returns the number of bytes to skip if the name ends before `rest`.
fn ending(rest: &[u8]) -> Option<usize> {
    match rest.first() {
        Some(b'\n') => Some(1),
        Some(0x80 | b'(' | b']')
            if PICKLE_STARTS.iter().any(|beginning| rest.starts_with(beginning)) =>
        {
            Some(0)
        }
        _ => None,
    }
}
