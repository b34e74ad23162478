//! `ws-pickle`: the pickle dialect over WebSocket: the name in a text message, each pickle in a
//! message of its own.

use bytes::BytesMut;

use super::codec::{Action, Answer, Decoded, Message, MessageCodec, Next, Payload};
use super::pickle::{Session, decode_whole};

/// The dialect on a WebSocket.
#[derive(Default)]
pub(super) struct WsPickle {
    session: Session,
    out: BytesMut,
}

impl MessageCodec for WsPickle {
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

    fn answer(&mut self, answer: Answer) {
        self.session.answer(answer, &mut self.out);
    }

    fn finish(&mut self) -> (Option<Message>, Next) {
        let next = self.session.finish(&mut self.out);
        let reply = self.out.split();
        ((!reply.is_empty()).then_some(Message::Binary(reply)), next)
    }
}
