//! What happens in a room.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redis::{Pipeline, ServerErrorKind, Value};
use tokio::sync::Notify;

use super::{Done, NewRoom, RoomKeys, RoomLimits, RoomUser, role_number, role_of};
use crate::model::{Error, Position, Reason, Result, UnixMillis, User};
use crate::store::redis::change_follower::Invalidation;
use crate::store::redis::library::call;
use crate::store::redis::reply::{self, ReplyParts};
use crate::store::redis::router::Effect;
use crate::store::redis::{RedisEngine, failure};

/// Where in a room's record its epoch and sequence are.
const STAND: (u32, u32) = (0, 15);

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It came.
    Joined,
    /// It went.
    Left,
    /// It said something.
    Message,
}

/// Something that happened, in its place.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Its place.
    pub sequence: u64,
    /// What.
    pub what: Happening,
    /// Who.
    pub who: RoomUser,
    /// When.
    pub time: UnixMillis,
    /// What was said.
    pub text: String,
}

/// What a look at a room's events found.
#[derive(Clone, Debug)]
pub struct RoomRead {
    /// The epoch, and the latest event, when the events had been read; `None`: there was no room.
    pub stand: Option<Position>,
    /// The events.
    pub events: Vec<Happened>,
}

/// Who is told when a room's events change, by the keys of the events.
#[derive(Default)]
pub(in crate::store::redis) struct Ears(Mutex<HashMap<String, Weak<Notify>>>);

impl Ears {
    /// Hears what a connection was told.
    pub(in crate::store::redis) fn hear(&self, changed: &Invalidation) {
        let ears = self.0.lock();
        let tell = |ear: &Weak<Notify>| {
            if let Some(ear) = ear.upgrade() {
                ear.notify_one();
            }
        };
        match changed {
            Invalidation::Keys(keys) => keys.iter().filter_map(|key| ears.get(key)).for_each(tell),
            Invalidation::Anything => ears.values().for_each(tell),
            Invalidation::Nothing => {}
        }
    }
}

/// Hears that a room's events have changed since they were last read here. A room has one at a
/// time.
pub struct Listening {
    ears: Arc<Ears>,
    key: String,
    /// Told once for any number of changes.
    pub changed: Arc<Notify>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut ears = self.ears.0.lock();
        // Another may listen by now.
        if ears
            .get(&self.key)
            .is_some_and(|ear| std::ptr::eq(ear.as_ptr(), Arc::as_ptr(&self.changed)))
        {
            ears.remove(&self.key);
        }
    }
}

impl RedisEngine {
    /// Listens to a room.
    pub fn listen(&self, room: &RoomKeys) -> Listening {
        let changed = Arc::new(Notify::new());
        self.0.ears.0.lock().insert(room.events.clone(), Arc::downgrade(&changed));
        Listening { ears: Arc::clone(&self.0.ears), key: room.events.clone(), changed }
    }

    /// Reads the events behind a place, at most so many. Who [listens](Self::listen) is told of the
    /// next.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn read_room(&self, room: &RoomKeys, after: u64, most: usize) -> Result<RoomRead> {
        let topology = &self.0.router.topology;
        let node = topology
            .of(room.slot)
            .ok_or_else(|| failure::unavailable("no node has the slot".to_owned()))?;
        let mut all = Pipeline::with_capacity(3);
        all.cmd("CLIENT").arg("CACHING").arg("YES");
        all.cmd("XRANGE")
            .arg(&room.events)
            .arg(format!("({after}-0"))
            .arg("+")
            .arg("COUNT")
            .arg(most);
        // Behind the events: an epoch that is there now was there when they were read, since none
        // comes again.
        all.cmd("GETRANGE").arg(&room.room).arg(STAND.0).arg(STAND.1);
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
        let stand = match answers.next() {
            Some(Value::BulkString(stand)) => stand_of(&stand),
            Some(_) | None => return Err(reply::unexpected("a room's record")),
        };
        Ok(RoomRead { stand, events: events.into_iter().map(happened).collect::<Result<_>>()? })
    }

    /// Says something; gives its place, the first one for what was said before with the same id.
    /// `make`: in a room that is made if it is not there.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not say.
    pub async fn say(
        &self,
        room: &RoomKeys,
        user: &RoomUser,
        text: &str,
        id: Option<(&str, [u8; 16])>,
        limits: &RoomLimits,
        make: Option<NewRoom<'_>>,
    ) -> Result<Done<Position>> {
        let said = room.said(user.id);
        let mut say = match id {
            Some(_) => call("say", &room.and(&said)),
            None => call("say", &room.all()),
        };
        say.arg(self.0.now())
            .arg(user.id.to_be_bytes().as_slice())
            .arg(role_number(user.view.role));
        say.arg(&user.view.name)
            .arg(text)
            .arg(limits.idle_millis())
            .arg(limits.messages)
            .arg(limits.bytes);
        match &id {
            Some((id, fingerprint)) => say.arg(*id).arg(fingerprint.as_slice()),
            None => say.arg("").arg(""),
        };
        if let Some(make) = make {
            say.arg(make.epoch.to_le_bytes().as_slice()).arg(make.name);
        }
        let effect = if id.is_some() { Effect::WritesOnce } else { Effect::Writes };
        match self.call_room(room.slot, &say, effect).await.map_err(in_chat)? {
            Ok(mut parts) => Ok(Ok(Position { epoch: parts.epoch()?, sequence: parts.number()? })),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// The room goes on under another epoch, if it has this one: events that somebody has read here
    /// are no more.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn restart_room(&self, room: &RoomKeys, epoch: u64, next: u64) -> Result<()> {
        let mut restart = call("restart_room", &[&room.room]);
        restart.arg(epoch.to_le_bytes().as_slice()).arg(next.to_le_bytes().as_slice());
        self.0.router.run(room.slot, &restart, Effect::WritesLocally).await.map(|_| ())
    }
}

/// What settles it has another name here.
fn in_chat(error: Error) -> Error {
    if error.reason() != Reason::OutcomeUnknown {
        return error;
    }
    let message = "the store did not say whether this was said; the same message with the same client_message_id finds out";
    Error::new(Reason::OutcomeUnknown, message).with_source(format!("{error:?}"))
}

fn stand_of(record: &[u8]) -> Option<Position> {
    let (epoch, rest) = record.split_first_chunk::<8>()?;
    let (sequence, _) = rest.split_first_chunk::<8>()?;
    Some(Position { epoch: u64::from_le_bytes(*epoch), sequence: u64::from_le_bytes(*sequence) })
}

/// An event of the stream: `["<sequence>-0", ["e", event]]`; kind, role, user, time, length of the
/// name, name, text.
fn happened(event: Value) -> Result<Happened> {
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
    let (user, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (time, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
    let (name, text) =
        rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or_else(wrong)?;
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(Error::internal);
    let what = match kind {
        1 => Happening::Joined,
        2 => Happening::Left,
        3 => Happening::Message,
        _ => return Err(wrong()),
    };
    let who = RoomUser {
        id: u64::from_be_bytes(*user),
        view: User { name: utf8(name)?, role: role_of(role) },
    };
    Ok(Happened {
        sequence,
        what,
        who,
        time: UnixMillis::new(u64::from_le_bytes(*time)),
        text: utf8(text)?,
    })
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
            happened(Value::Array(vec![Value::BulkString(b"7-0".to_vec()), fields]))
        };
        let mut whole = vec![3, 1];
        whole.extend(5_u64.to_be_bytes());
        whole.extend(9_u64.to_le_bytes());
        whole.extend(3_u16.to_le_bytes());
        whole.extend(b"annhello");
        let read = event(&whole).unwrap();
        assert_eq!(
            (read.sequence, read.what, read.who.id, read.time),
            (7, Happening::Message, 5, UnixMillis::new(9))
        );
        assert_eq!((read.who.view.name.as_str(), read.text.as_str()), ("ann", "hello"));
        for length in 0..23 {
            assert!(event(&whole[..length]).is_err(), "{length}");
        }
        whole[0] = 4;
        assert!(event(&whole).is_err());
    }
}
