//! Lines: how the bare text dialects are spoken to.

use std::time::Duration;

use bytes::BytesMut;

use super::protocol_client::{DecodedReply, to_message};
use kvrpc::dialect::codec::Input;

/// Pause after a newline that completes a reply of several lines.
const AFTER_LINE: Duration = Duration::from_millis(50);
/// The same without one: some servers end no reply so.
const WITHIN_LINE: Duration = Duration::from_millis(500);

/// Takes a reply of one line.
pub(super) fn one(input: &mut BytesMut, event: Input) -> DecodedReply {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = input.split_to(end + 1);
            DecodedReply::Reply(to_message(without_end(line)))
        }
        None => whole(input, event, WITHIN_LINE),
    }
}

/// Takes a reply of any number of lines.
pub(super) fn many(input: &mut BytesMut, event: Input) -> DecodedReply {
    let wait = if input.ends_with(b"\n") { AFTER_LINE } else { WITHIN_LINE };
    whole(input, event, wait)
}

fn whole(input: &mut BytesMut, event: Input, wait: Duration) -> DecodedReply {
    match event {
        Input::Bytes => DecodedReply::Incomplete { quiet: Some(wait) },
        Input::Quiet | Input::End => DecodedReply::Reply(to_message(without_end(input.split()))),
    }
}

fn without_end(mut line: BytesMut) -> BytesMut {
    if line.last() == Some(&b'\n') {
        line.truncate(line.len() - 1);
    }
    line
}
