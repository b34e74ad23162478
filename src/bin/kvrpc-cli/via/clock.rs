//! `clock`: one datagram for the date, one for the time of day.

use super::protocol_client::{
    OutgoingMessage, ProtocolClient, ReplyOutcome, bytes, say, text, unsupported,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::Message;
use kvrpc::dialect::grammar::Call;

const DATE: &str = "SEND_DATE";
const TIME: &str = "SEND_TIME";

/// The dialect.
pub(super) struct ClockClient;

impl ProtocolClient for ClockClient {
    fn encode(&self, call: &Call, _given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        // The date once more: a day may end between the first two.
        if *call == Call::Now { Ok([DATE, TIME, DATE].map(say).into()) } else { Err(unsupported()) }
    }

    fn fits(&self, request: &Message, reply: &[u8]) -> bool {
        let part = if bytes(request) == DATE.as_bytes() { b'-' } else { b':' };
        reply.iter().filter(|byte| **byte == part).count() == 2
    }

    fn interpret(&self, _call: &Call, replies: &[Message]) -> ReplyOutcome {
        let [first, time, last] = replies else {
            return ReplyOutcome::Failed(Failure::failed("the server's answer is none"));
        };
        let (first, time, last) = (text(Some(first)), text(Some(time)), text(Some(last)));
        // After midnight the new date holds.
        let date = if time.starts_with("00:") { last } else { first };
        ReplyOutcome::Text(format!("{date} {time}"))
    }
}
