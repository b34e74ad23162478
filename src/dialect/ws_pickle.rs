//! `ws-pickle`: the `pickle` protocol over WebSocket: the name in a text message, each pickle in a
//! message of its own.

use bytes::BytesMut;

use super::codec::{Action, ActionResult, AfterReply, Decoded, Message, MessageCodec, Payload};
use super::pickle::{PickleSession, decode_whole};

/// Codec of the `pickle` protocol on a WebSocket.
#[derive(Default)]
pub(super) struct WsPickleCodec {
    session: PickleSession,
    out: BytesMut,
}

impl MessageCodec for WsPickleCodec {
    fn decode(&mut self, message: Payload<'_>) -> Decoded {
        match (message, self.session.is_named()) {
            (Payload::Text(name), false) => self.session.name(name.as_bytes()),
            (Payload::Binary(_), false) => self.session.refuse_name(),
            (message, true) => match decode_whole(message.as_bytes()) {
                Ok(pickle) => self.session.request(&pickle),
                Err(bad) => self.session.refuse(bad),
            },
        }
    }

    fn next(&mut self) -> Option<Action> {
        self.session.next(&mut self.out)
    }

    fn answer(&mut self, answer: ActionResult) {
        self.session.answer(answer, &mut self.out);
    }

    fn finish(&mut self) -> (Option<Message>, AfterReply) {
        let next = self.session.finish(&mut self.out);
        let reply = self.out.split();
        ((!reply.is_empty()).then_some(Message::Binary(reply)), next)
    }
}
