//! Replies to responses.

use super::{time, v1};
use crate::model::{
    Access, Calculated, Deleted, Durability, Entry, EntryPage, Identity, Key, KeyPage, ListedEntry,
    Listing, Position, Role, Room, ServerInfo, SessionInfo, Time, UpgradePolicy, User, Value,
    Written,
};

/// A value as the `data` of a message: text goes out as text.
macro_rules! data {
    ($value:expr, $module:ident) => {
        match $crate::pb::reply::text_or_bytes($value) {
            Ok(text) => $crate::pb::v1::$module::Data::Value(text),
            Err(bytes) => $crate::pb::v1::$module::Data::Blob(bytes),
        }
    };
}

pub(super) fn text_or_bytes(value: Value) -> std::result::Result<String, bytes::Bytes> {
    if !value.is_text() {
        return Err(value.into_bytes());
    }
    // Text was UTF-8 when it came; were it not, it would go out as it is.
    String::from_utf8(value.into_bytes().into()).map_err(|error| error.into_bytes().into())
}

pub(super) use data;

/// Implements the conversion of a reply.
macro_rules! replies {
    ($($message:ident <= $reply:ty |$pattern:pat_param| $body:expr;)+) => {$(
        impl From<$reply> for v1::$message {
            fn from($pattern: $reply) -> Self {
                $body
            }
        }
    )+};
}

replies! {
    GetResponse <= Entry |Entry { value, revision, expire_time }| Self {
        data: Some(data!(value, get_response)),
        revision,
        expire_time: expire_time.map(time::timestamp),
    };
    GetOtherResponse <= Entry |Entry { value, revision, expire_time }| Self {
        data: Some(data!(value, get_other_response)),
        revision,
        expire_time: expire_time.map(time::timestamp),
    };
    PutResponse <= Written |Written { revision, durability: kept }| {
        Self { revision, durability: durability(kept) }
    };
    PutOtherResponse <= Written |Written { revision, durability: kept }| {
        Self { revision, durability: durability(kept) }
    };
    DeleteResponse <= Deleted |Deleted { deleted, revision, durability: kept }| {
        Self { deleted, revision, durability: durability(kept) }
    };
    ListKeysResponse <= KeyPage |KeyPage { keys, next_page_token, position }| Self {
        keys: keys.into_iter().map(Key::into_string).collect(),
        next_page_token,
        position: Some(position.into()),
    };
    ScanResponse <= EntryPage |EntryPage { entries, cursor, position }| Self {
        entries: entries.into_iter().map(entry).collect(),
        position: Some(position.into()),
        next_page_token: cursor.unwrap_or_default(),
    };
    SignInResponse <= SessionInfo |session| Self {
        token: session.token,
        user: Some(session.user.into()),
        expire_time: session.expire_time.map(time::timestamp),
    };
    AuthResponse <= SessionInfo |session| Self {
        token: session.token,
        user: Some(session.user.into()),
        expire_time: session.expire_time.map(time::timestamp),
    };
    UpgradeResponse <= User |user| Self { user: Some(user.into()) };
    DowngradeResponse <= User |user| Self { user: Some(user.into()) };
    WhoAmIResponse <= Identity |identity| Self {
        user: Some(identity.user.into()),
        session_expire_time: identity.expire_time.map(time::timestamp),
        upgrade_policy: upgrade_policy(identity.upgrade_policy),
    };
    SignOutResponse <= () |()| Self {};
    ListUsersResponse <= Listing<User> |Listing { rows, next_page_token }| {
        Self { users: rows.into_iter().map(Into::into).collect(), next_page_token }
    };
    ListAccessesResponse <= Listing<Access> |Listing { rows, next_page_token }| {
        Self { accesses: rows.into_iter().map(Into::into).collect(), next_page_token }
    };
    SendResponse <= Position |position| Self { position: Some(position.into()) };
    ListMembersResponse <= Listing<User> |Listing { rows, next_page_token }| {
        Self { members: rows.into_iter().map(Into::into).collect(), next_page_token }
    };
    ListRoomsResponse <= Listing<Room> |Listing { rows, next_page_token }| {
        let room = |room: Room| v1::Room { name: room.name, member_count: room.member_count };
        Self { rooms: rows.into_iter().map(room).collect(), next_page_token }
    };
    GetServerInfoResponse <= Box<ServerInfo> |info| server_info(*info);
    EncodeResponse <= String |bits| Self { bits };
    DecodeResponse <= String |text| Self { text };
    NowResponse <= Time |Time { seconds, nanos, date, time_of_day }| Self {
        time: Some(prost_types::Timestamp { seconds, nanos }),
        date,
        time_of_day,
    };
    CalculateResponse <= Calculated |Calculated { result, text }| Self { result, text };
}

fn entry(row: ListedEntry) -> v1::Entry {
    let ListedEntry { key, value, revision, expire_time } = row;
    v1::Entry {
        key: key.into_string(),
        data: value.map(|value| data!(value, entry)),
        revision,
        expire_time: expire_time.map(time::timestamp),
    }
}

impl From<User> for v1::User {
    fn from(user: User) -> Self {
        let role = match user.role {
            Role::Guest => v1::Role::Guest,
            Role::Manager => v1::Role::Manager,
        };
        Self { name: user.name, role: role.into() }
    }
}

impl From<Position> for v1::Position {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch, sequence: position.sequence }
    }
}

impl From<Access> for v1::Access {
    fn from(access: Access) -> Self {
        Self {
            user: Some(access.user.into()),
            account: access.account,
            protocol: access.protocol.to_string(),
            method: access.method.to_owned(),
            key: access.key,
            count: access.count,
            first_time: Some(time::timestamp(access.first_time)),
            last_time: Some(time::timestamp(access.last_time)),
        }
    }
}

pub(super) fn durability(durability: Durability) -> i32 {
    match durability {
        Durability::Local => v1::Durability::Local,
        Durability::Replicated => v1::Durability::Replicated,
        Durability::Fsynced => v1::Durability::Fsynced,
    }
    .into()
}

fn upgrade_policy(policy: UpgradePolicy) -> i32 {
    match policy {
        UpgradePolicy::Managers => v1::UpgradePolicy::Managers,
        UpgradePolicy::Open => v1::UpgradePolicy::Open,
    }
    .into()
}

fn server_info(info: ServerInfo) -> v1::GetServerInfoResponse {
    v1::GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_engine: info.store_engine.to_owned(),
        durability: durability(info.durability),
        upgrade_policy: upgrade_policy(info.upgrade_policy),
        limits: Some((&info.limits).into()),
        listeners: info
            .listeners
            .into_iter()
            .map(|listener| v1::Listener {
                protocol: listener.protocol.to_owned(),
                address: listener.address,
                tls: listener.tls,
            })
            .collect(),
    }
}
