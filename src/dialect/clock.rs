//! `clock`: the date and the time of day over UDP. Replies are useless for amplification attacks
//! and cannot form loops.

use super::codec::{Action, ActionResult, DatagramCodec, Decoded, MAX_DATAGRAM_BYTES};
use crate::model::{Reply, Time, request};

/// Lowest source port that is answered. Below it are services that answer any datagram; a forged
/// source address could start an endless exchange with one.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

#[derive(Clone, Copy, Default)]
enum ClockRequest {
    Date,
    Time,
    #[default]
    Other,
}

/// Codec that answers with the date or the time of day.
#[derive(Default)]
pub(super) struct ClockCodec {
    request: ClockRequest,
    action: Option<Action>,
    reply: Option<String>,
}

impl DatagramCodec for ClockCodec {
    fn decode(&mut self, datagram: &[u8], source_port: u16) -> Decoded {
        let sized = (1..=MAX_DATAGRAM_BYTES).contains(&datagram.len());
        if !sized || source_port < FIRST_UNPRIVILEGED_PORT || is_answer(datagram) {
            return Decoded::Close;
        }
        let now = || Some(Action::Run(request::Now.into()));
        (self.request, self.action, self.reply) = match datagram {
            b"SEND_DATE" => (ClockRequest::Date, now(), None),
            b"SEND_TIME" => (ClockRequest::Time, now(), None),
            _ => (ClockRequest::Other, None, Some("Ok".to_owned())),
        };
        Decoded::Request
    }

    fn next(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn answer(&mut self, answer: ActionResult) {
        // An error gets no answer: its sentence would be longer than the request.
        let Ok(Some(Reply::Now(Time { date, time_of_day, .. }))) = answer else { return };
        self.reply = match self.request {
            ClockRequest::Date => Some(date),
            ClockRequest::Time => Some(time_of_day),
            ClockRequest::Other => None,
        };
    }

    fn finish(&mut self) -> Option<String> {
        self.reply.take()
    }
}

/// Returns true if a datagram looks like an answer of this protocol: two servers must not answer
/// each other endlessly.
fn is_answer(datagram: &[u8]) -> bool {
    datagram == b"Ok" || has_shape(datagram, b"dddd-dd-dd") || has_shape(datagram, b"dd:dd:dd")
}

fn has_shape(datagram: &[u8], shape: &[u8]) -> bool {
    let same =
        |(byte, want): (&u8, &u8)| if *want == b'd' { byte.is_ascii_digit() } else { byte == want };
    datagram.len() == shape.len() && datagram.iter().zip(shape).all(same)
}
