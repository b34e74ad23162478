//! Errors of the rooms, in the contract's words.

use std::time::Duration;

use crate::model::Limits;
use crate::model::{Error, Reason, RoomName};

pub(super) fn not_found(name: &RoomName) -> Error {
    Error::new(Reason::RoomNotFound, format!("there is no room {:?}", name.as_str()))
}

pub(super) fn too_many_rooms(limits: &Limits) -> Error {
    let message =
        format!("there are {} rooms, as many as there may be; try again later", limits.rooms);
    Error::new(Reason::ServerFull, message).retry_after(limits.room_idle)
}

pub(super) fn room_full(limits: &Limits) -> Error {
    let message = format!(
        "the room has {} members, as many as it may; try again later",
        limits.members_per_room
    );
    Error::new(Reason::ServerFull, message).retry_after(Duration::from_secs(60))
}

pub(super) fn too_many_joined(limits: &Limits) -> Error {
    let message =
        format!("you are in {} rooms, as many as you may; leave one first", limits.rooms_per_user);
    Error::new(Reason::QuotaExceeded, message)
}

pub(super) fn too_many_created(limits: &Limits) -> Error {
    Error::new(
        Reason::QuotaExceeded,
        format!(
            "you made {} of the rooms that are there, as many as you may; \
             one ends {} s after it was last used",
            limits.rooms_per_user,
            limits.room_idle.as_secs()
        ),
    )
}

pub(super) fn id_reused() -> Error {
    Error::new(
        Reason::RequestIdReused,
        "client_message_id was used for another text within 5 minutes; choose a new one",
    )
    .in_field("client_message_id")
}
