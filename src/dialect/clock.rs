//! `clock`: the date and the time of day, in datagrams that are of no use for amplification or
//! loops.

use super::codec::{Action, Answer, DatagramCodec, Decoded, MAX_DATAGRAM_BYTES};
use crate::model::{Reply, Time, request};

/// Below it are the services that answer anything, with which a forged source could make an endless
/// exchange.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

#[derive(Clone, Copy, Default)]
enum Question {
    Date,
    Time,
    #[default]
    Other,
}

/// Tells the time.
#[derive(Default)]
pub(super) struct Clock {
    question: Question,
    action: Option<Action>,
    reply: Option<String>,
}

impl DatagramCodec for Clock {
    fn decode(&mut self, datagram: &[u8], source_port: u16) -> Decoded {
        let sized = (1..=MAX_DATAGRAM_BYTES).contains(&datagram.len());
        if !sized || source_port < FIRST_UNPRIVILEGED_PORT || is_answer(datagram) {
            return Decoded::Close;
        }
        let now = || Some(Action::Run(request::Now.into()));
        (self.question, self.action, self.reply) = match datagram {
            b"SEND_DATE" => (Question::Date, now(), None),
            b"SEND_TIME" => (Question::Time, now(), None),
            _ => (Question::Other, None, Some("Ok".to_owned())),
        };
        Decoded::Request
    }

    fn next(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: Answer) {
        // An error gets no answer: its sentence would be longer than the request.
        let Ok(Some(Reply::Now(Time { date, time_of_day, .. }))) = answer else { return };
        self.reply = match self.question {
            Question::Date => Some(date),
            Question::Time => Some(time_of_day),
            Question::Other => None,
        };
    }

    fn finish(&mut self) -> Option<String> {
        self.reply.take()
    }
}

/// Whether a datagram is what a server of this dialect answers: two of them must not talk to each
/// other for ever.
fn is_answer(datagram: &[u8]) -> bool {
    datagram == b"Ok" || has_shape(datagram, b"dddd-dd-dd") || has_shape(datagram, b"dd:dd:dd")
}

fn has_shape(datagram: &[u8], shape: &[u8]) -> bool {
    let same =
        |(byte, want): (&u8, &u8)| if *want == b'd' { byte.is_ascii_digit() } else { byte == want };
    datagram.len() == shape.len() && datagram.iter().zip(shape).all(same)
}
