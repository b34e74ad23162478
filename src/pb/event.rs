//! Events of rooms and stores, as messages of streams.

use super::reply::data;
use super::{time, v1};
use crate::model::{ChatEvent, Participant, Position};
use crate::service::rooms::Welcome;
use crate::service::{Change, ChangeKind};

/// Returns a room's event. The message is a SubscribeResponse too: its fields have the same
/// numbers, which a test checks.
pub fn room_event(position: Position, event: &ChatEvent) -> v1::ChatResponse {
    use v1::chat_response::Event;

    let user = |user: &Participant| Some(user.user.clone().into());
    let event = match event {
        ChatEvent::Joined(who) => Event::Joined(v1::Joined { user: user(who) }),
        ChatEvent::Left(who) => Event::Left(v1::Left { user: user(who) }),
        ChatEvent::Message { sender, text, send_time } => Event::Message(v1::Message {
            user: user(sender),
            text: text.clone(),
            send_time: Some(time::timestamp(*send_time)),
        }),
    };
    v1::ChatResponse { position: Some(position.into()), event: Some(event) }
}

/// Returns the first message of a stream in a room.
pub fn welcome(welcome: &Welcome) -> v1::Welcome {
    v1::Welcome {
        room: welcome.room.clone(),
        members: welcome.members.iter().cloned().map(Into::into).collect(),
        member_count: welcome.member_count,
        latest: Some(welcome.latest.into()),
    }
}

/// Returns a change of a store.
pub fn change(position: Position, change: &Change) -> v1::WatchResponse {
    use v1::watch_response::Event;

    let key = change.key.as_str().to_owned();
    let event = match &change.kind {
        ChangeKind::Put { value, expire_time } => Event::Put(v1::WatchPut {
            key,
            data: Some(data!(value.clone(), watch_put)),
            expire_time: expire_time.map(time::timestamp),
        }),
        ChangeKind::Delete { expired } => Event::Delete(v1::WatchDelete { key, expired: *expired }),
    };
    v1::WatchResponse { position: Some(position.into()), event: Some(event) }
}
