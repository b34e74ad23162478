//! A room's events: publishing and reading them.

use redis::{Pipeline, ServerErrorKind, Value};

use super::{NewRoom, RoomKeys, RoomLimits, RoomResult, append_user, role_of};
use crate::model::{ChatEvent, Error, Participant, Position, Reason, Result, UnixMillis, User};
use crate::store::redis::library::call;
use crate::store::redis::reply::{self, ReplyParts};
use crate::store::redis::router::Effect;
use crate::store::redis::{RedisEngine, failure};

/// First and last byte of the epoch and the sequence in a room's record.
const POSITION_BYTES: (u32, u32) = (0, 15);

/// Result of reading a room's events.
#[derive(Clone, Debug)]
pub struct RoomRead {
    /// Position of the room's latest event once the events had been read; `None` if the room did
    /// not exist.
    pub latest: Option<Position>,
    /// The events with their sequences.
    pub events: Vec<(u64, ChatEvent)>,
}

impl RedisEngine {
    /// Reads up to `limit` events after a sequence. The room's [listener](Self::listen) is notified
    /// of the next change after that.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn read_room(&self, room: &RoomKeys, after: u64, limit: usize) -> Result<RoomRead> {
        let topology = &self.0.router.topology;
        let node = topology
            .of(room.slot)
            .ok_or_else(|| failure::unavailable("no node has the slot".to_owned()))?;
        let mut all = Pipeline::with_capacity(3);
        all.cmd("CLIENT").arg("CACHING").arg("YES");
        all.cmd("XRANGE").arg(&room.events).arg(format!("({after}-0")).arg("+");
        all.arg("COUNT").arg(limit);
        // Read after the events: epochs are never used again, therefore an epoch that the room has
        // now is the one that it had when the events were read.
        all.cmd("GETRANGE").arg(&room.record).arg(POSITION_BYTES.0).arg(POSITION_BYTES.1);
        let mut answers = match node.many(&all).await {
            Ok(answers) => answers.into_iter().skip(1),
            Err(failure) => {
                topology.mark_stale();
                return Err(failure::unavailable(failure.into_text()));
            }
        };
        let events = match answers.next() {
            Some(Value::Array(events)) => events,
            Some(Value::ServerError(error)) => {
                if error.kind() == Some(ServerErrorKind::Moved) {
                    topology.mark_stale();
                }
                return Err(failure::answered(&error));
            }
            Some(_) | None => return Err(reply::unexpected("events")),
        };
        let latest = match answers.next() {
            Some(Value::BulkString(record)) => position(&record),
            Some(_) | None => return Err(reply::unexpected("a room's record")),
        };
        Ok(RoomRead { latest, events: events.into_iter().map(event).collect::<Result<_>>()? })
    }

    /// Publishes a message and returns its position; for a message that was published before with
    /// the same id, the position that it got then. `new`: the room is created if it does not exist.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
    pub async fn publish(
        &self,
        room: &RoomKeys,
        sender: &Participant,
        text: &str,
        id: Option<(&str, [u8; 16])>,
        limits: &RoomLimits,
        new: Option<NewRoom<'_>>,
    ) -> Result<RoomResult<Position>> {
        let message_ids = room.message_ids(sender.id);
        let mut publish = match id {
            Some(_) => call("publish", &room.with(&message_ids)),
            None => call("publish", &room.all()),
        };
        publish.arg(self.0.now());
        append_user(&mut publish, sender);
        publish.arg(text);
        limits.append_to(&mut publish);
        match &id {
            Some((id, fingerprint)) => publish.arg(*id).arg(fingerprint.as_slice()),
            None => publish.arg("").arg(""),
        };
        if let Some(new) = new {
            publish.arg(new.epoch.to_le_bytes().as_slice()).arg(new.name);
        }
        let effect = if id.is_some() { Effect::WritesOnce } else { Effect::Writes };
        let decode = |mut parts: ReplyParts| {
            Ok(Position { epoch: parts.epoch()?, sequence: parts.number()? })
        };
        self.call_room(room.slot, &publish, effect, decode).await.map_err(name_message_id)
    }

    /// Replaces a room's epoch, if it is still this one, because events that this server has read
    /// are lost.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn replace_epoch(&self, room: &RoomKeys, epoch: u64, new: u64) -> Result<()> {
        let mut replace = call("replace_epoch", &[&room.record]);
        replace.arg(epoch.to_le_bytes().as_slice()).arg(new.to_le_bytes().as_slice());
        self.0.router.run(room.slot, &replace, Effect::WritesLocally).await.map(|_| ())
    }
}

/// Names the id that settles an unknown outcome: in a room it is not the `request_id`.
fn name_message_id(error: Error) -> Error {
    if error.reason() != Reason::OutcomeUnknown {
        return error;
    }
    let message = "the store did not say whether this was said; \
                   the same message with the same client_message_id finds out";
    Error::new(Reason::OutcomeUnknown, message).with_source(format!("{error:?}"))
}

fn position(record: &[u8]) -> Option<Position> {
    let (epoch, rest) = record.split_first_chunk::<8>()?;
    let (sequence, _) = rest.split_first_chunk::<8>()?;
    Some(Position { epoch: u64::from_le_bytes(*epoch), sequence: u64::from_le_bytes(*sequence) })
}

/// Decodes an event of the stream: `["<sequence>-0", ["e", event]]`. The event consists of kind,
/// role, user, time, length of the name, name, text.
fn event(event: Value) -> Result<(u64, ChatEvent)> {
    let wrong = || reply::unexpected("an event");
    let Value::Array(event) = event else { return Err(wrong()) };
    let mut event = ReplyParts::new(event);
    let place = event.text()?;
    let sequence =
        place.split_once('-').and_then(|(sequence, _)| sequence.parse().ok()).ok_or_else(wrong)?;
    let Some(Value::Array(fields)) = event.next() else { return Err(wrong()) };
    let packed = fields.get(1).and_then(|field| match field {
        Value::BulkString(packed) => Some(packed.as_slice()),
        _ => None,
    });
    let (&[kind, role], rest) = packed.and_then(<[u8]>::split_first_chunk).ok_or_else(wrong)?;
    let (id, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (time, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
    let (name, text) =
        rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or_else(wrong)?;
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(Error::internal);
    let user = User { name: utf8(name)?, role: role_of(role) };
    let user = Participant { id: u64::from_be_bytes(*id), user };
    let event = match kind {
        1 => ChatEvent::Joined(user),
        2 => ChatEvent::Left(user),
        3 => ChatEvent::Message {
            sender: user,
            text: utf8(text)?,
            send_time: UnixMillis::new(u64::from_le_bytes(*time)),
        },
        _ => return Err(wrong()),
    };
    Ok((sequence, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_is_no_event() {
        let event = |bytes: &[u8]| {
            let fields = Value::Array(vec![
                Value::BulkString(b"e".to_vec()),
                Value::BulkString(bytes.to_vec()),
            ]);
            event(Value::Array(vec![Value::BulkString(b"7-0".to_vec()), fields]))
        };
        let mut whole = vec![3, 1];
        whole.extend(5_u64.to_be_bytes());
        whole.extend(9_u64.to_le_bytes());
        whole.extend(3_u16.to_le_bytes());
        whole.extend(b"annhello");
        let user = User { name: "ann".to_owned(), role: role_of(1) };
        let sender = Participant { id: 5, user };
        let message =
            ChatEvent::Message { sender, text: "hello".to_owned(), send_time: UnixMillis::new(9) };
        assert_eq!(event(&whole).unwrap(), (7, message));
        for length in 0..23 {
            assert!(event(&whole[..length]).is_err(), "{length}");
        }
        whole[0] = 4;
        assert!(event(&whole).is_err());
    }
}
