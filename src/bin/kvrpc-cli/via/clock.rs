//! `clock`: one datagram for the date, one for the time of day.

use super::speaker::{Answer, Request, Speaker, bytes, lacks, say, text};
use crate::failure::{Failure, Result};
use crate::input::Input as Given;
use kvrpc::dialect::codec::Message;
use kvrpc::dialect::grammar::Call;

const DATE: &str = "SEND_DATE";
const TIME: &str = "SEND_TIME";

/// The dialect.
pub(super) struct Clock;

impl Speaker for Clock {
    fn ask(&self, call: &Call, _given: &Given) -> Result<Vec<Request>> {
        // The date once more: a day may end between the first two.
        if *call == Call::Now { Ok([DATE, TIME, DATE].map(say).into()) } else { Err(lacks()) }
    }

    fn fits(&self, request: &Message, reply: &[u8]) -> bool {
        let part = if bytes(request) == DATE.as_bytes() { b'-' } else { b':' };
        reply.iter().filter(|byte| **byte == part).count() == 2
    }

    fn read(&self, _call: &Call, replies: &[Message]) -> Answer {
        let [first, time, last] = replies else {
            return Answer::Failed(Failure::failed("the server's answer is none"));
        };
        let (first, time, last) = (text(Some(first)), text(Some(time)), text(Some(last)));
        // After midnight the new date holds.
        let date = if time.starts_with("00:") { last } else { first };
        Answer::Text(format!("{date} {time}"))
    }
}
