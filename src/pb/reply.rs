//! Replies to responses.

use super::{time, v1};
use crate::model::{
    Access, Durability, Entry, Error, ListedEntry, MAX_BATCH_OPERATIONS, MAX_KEY_BYTES,
    MAX_MESSAGE_BYTES, MAX_NAME_CHARACTERS, MAX_PAGE_SIZE, MAX_TEXT_BYTES, MAX_TTL,
    MAX_VALUE_BYTES, MIN_TTL, Outcome, Position, Reply, Result, Role, ServerInfo, UpgradePolicy,
    User, Value,
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

pub(crate) fn mismatch(reply: &Reply) -> Error {
    Error::internal(format!("the service answered with another reply: {reply:?}"))
}

/// One conversion a response: the reply that answers its request, and what becomes of it.
macro_rules! responses {
    ($($response:ident <= $pattern:pat => $body:expr,)+) => {$(
        impl TryFrom<Reply> for v1::$response {
            type Error = Error;

            fn try_from(reply: Reply) -> Result<Self> {
                match reply {
                    $pattern => $body,
                    #[allow(clippy::wildcard_enum_match_arm, reason = "every other reply is a fault of ours")]
                    other => Err(mismatch(&other)),
                }
            }
        }
    )+};
}

responses! {
    GetResponse <= Reply::Entry(Entry { value, revision, expire_time }) => Ok(Self {
        data: Some(data!(value, get_response)), revision, expire_time: expire_time.map(time::timestamp),
    }),
    GetOtherResponse <= Reply::Entry(Entry { value, revision, expire_time }) => Ok(Self {
        data: Some(data!(value, get_other_response)), revision, expire_time: expire_time.map(time::timestamp),
    }),
    PutResponse <= Reply::Put { revision, durability: kept } => Ok(Self { revision, durability: durability(kept) }),
    PutOtherResponse <= Reply::Put { revision, durability: kept } => Ok(Self { revision, durability: durability(kept) }),
    DeleteResponse <= Reply::Delete { deleted, revision, durability: kept } => Ok(Self {
        deleted, revision, durability: durability(kept),
    }),
    ListKeysResponse <= Reply::Keys { keys, next_page_token, position } => Ok(Self {
        keys: keys.into_iter().map(crate::model::Key::into_string).collect(), next_page_token, position: Some(position.into()),
    }),
    ScanResponse <= Reply::Entries { entries, position, .. } => Ok(Self {
        entries: entries.into_iter().map(entry).collect(), position: Some(position.into()),
    }),
    BatchResponse <= Reply::Batch { outcomes, revision, durability: kept } => Ok(Self {
        results: outcomes.into_iter().map(outcome).collect(), revision, durability: durability(kept),
    }),
    PipelineResponse <= Reply::Batch { outcomes, revision, durability: kept } => Ok(Self {
        results: outcomes.into_iter().map(outcome).collect(), revision, durability: durability(kept), ..Self::default()
    }),
    SignInResponse <= Reply::Session(session) => Ok(Self {
        token: session.token, user: Some(session.user.into()), expire_time: session.expire_time.map(time::timestamp),
    }),
    AuthResponse <= Reply::Session(session) => Ok(Self {
        token: session.token, user: Some(session.user.into()), expire_time: session.expire_time.map(time::timestamp),
    }),
    UpgradeResponse <= Reply::User(user) => Ok(Self { user: Some(user.into()) }),
    DowngradeResponse <= Reply::User(user) => Ok(Self { user: Some(user.into()) }),
    WhoAmIResponse <= Reply::WhoAmI { user, expire_time, upgrade_policy: policy } => Ok(Self {
        user: Some(user.into()),
        session_expire_time: expire_time.map(time::timestamp),
        upgrade_policy: upgrade_policy(policy),
    }),
    SignOutResponse <= Reply::SignedOut => Ok(Self {}),
    ListUsersResponse <= Reply::Users { users, next_page_token } => Ok(Self {
        users: users.into_iter().map(Into::into).collect(), next_page_token,
    }),
    ListAccessesResponse <= Reply::Accesses { accesses, next_page_token } => Ok(Self {
        accesses: accesses.into_iter().map(Into::into).collect(), next_page_token,
    }),
    SendResponse <= Reply::Sent { position } => Ok(Self { position: Some(position.into()) }),
    ListMembersResponse <= Reply::Members { members, next_page_token } => Ok(Self {
        members: members.into_iter().map(Into::into).collect(), next_page_token,
    }),
    ListRoomsResponse <= Reply::Rooms { rooms, next_page_token } => Ok(Self {
        rooms: rooms.into_iter().map(|room| v1::Room { name: room.name, member_count: room.member_count }).collect(),
        next_page_token,
    }),
    GetServerInfoResponse <= Reply::ServerInfo(info) => Ok(server_info(*info)),
    EncodeResponse <= Reply::Encoded { bits } => Ok(Self { bits }),
    DecodeResponse <= Reply::Decoded { text } => Ok(Self { text }),
    NowResponse <= Reply::Now { seconds, nanos, date, time_of_day } => Ok(Self {
        time: Some(prost_types::Timestamp { seconds, nanos }), date, time_of_day,
    }),
    CalculateResponse <= Reply::Calculated { result, text } => Ok(Self { result, text }),
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

fn outcome(outcome: Outcome) -> v1::OperationResult {
    use v1::operation_result::Result as Kind;

    let kind = match outcome {
        Outcome::Get(None) => Kind::Get(v1::GetResult::default()),
        Outcome::Get(Some(Entry { value, revision, expire_time })) => Kind::Get(v1::GetResult {
            data: Some(data!(value, get_result)),
            revision,
            expire_time: expire_time.map(time::timestamp),
        }),
        Outcome::Put { revision } => Kind::Put(v1::PutResult { revision }),
        Outcome::Delete { deleted } => Kind::Delete(v1::DeleteResult { deleted }),
    };
    v1::OperationResult { result: Some(kind) }
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
            door: access.door.to_string(),
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
        limits: Some(limits(&info)),
        doors: info
            .doors
            .into_iter()
            .map(|door| v1::Door {
                dialect: door.dialect.to_owned(),
                address: door.address,
                tls: door.tls,
            })
            .collect(),
    }
}

fn limits(info: &ServerInfo) -> v1::Limits {
    v1::Limits {
        max_key_bytes: MAX_KEY_BYTES as u32,
        max_value_bytes: MAX_VALUE_BYTES as u32,
        min_ttl: Some(time::duration(MIN_TTL)),
        max_ttl: Some(time::duration(MAX_TTL)),
        max_name_characters: MAX_NAME_CHARACTERS as u32,
        max_batch_operations: MAX_BATCH_OPERATIONS as u32,
        max_message_bytes: MAX_MESSAGE_BYTES as u32,
        max_page_size: MAX_PAGE_SIZE,
        max_keys_per_user: info.max_keys_per_user,
        max_bytes_per_user: info.max_bytes_per_user,
        entry_overhead_bytes: info.entry_overhead_bytes,
        max_bytes_total: info.max_bytes_total,
        max_sessions: info.max_sessions,
        guest_idle_timeout: Some(time::duration(info.guest_idle_timeout)),
        account_session_age: Some(time::duration(info.account_session_age)),
        call_timeout: Some(time::duration(info.call_timeout)),
        request_id_window: Some(time::duration(info.request_id_window)),
        max_request_ids: info.max_request_ids,
        max_text_bytes: MAX_TEXT_BYTES as u32,
        chat_messages_per_second: info.chat_messages_per_second,
        chat_burst: info.chat_burst,
        max_rooms: info.max_rooms,
        max_rooms_per_user: info.max_rooms_per_user,
        max_members_per_room: info.max_members_per_room,
        max_room_history: info.max_room_history,
        max_room_history_bytes: info.max_room_history_bytes,
        max_history_bytes_total: info.max_history_bytes_total,
        max_kept_changes: info.max_kept_changes,
        max_kept_change_bytes: info.max_kept_change_bytes,
        heartbeat_interval: Some(time::duration(info.heartbeat_interval)),
    }
}
