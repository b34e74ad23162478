//! Replies to responses.

use super::{time, v1};
use crate::model::{
    Access, Durability, Entry, Error, Outcome, Position, Reply, Result, Role, ServerInfo,
    UpgradePolicy, User, Value,
};
use crate::store::Row;

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
        token: session.token, user: Some(session.user.into()), expire_time: Some(time::timestamp(session.expire_time)),
    }),
    AuthResponse <= Reply::Session(session) => Ok(Self {
        token: session.token, user: Some(session.user.into()), expire_time: Some(time::timestamp(session.expire_time)),
    }),
    UpgradeResponse <= Reply::User(user) => Ok(Self { user: Some(user.into()) }),
    DowngradeResponse <= Reply::User(user) => Ok(Self { user: Some(user.into()) }),
    WhoAmIResponse <= Reply::WhoAmI { user, expire_time, upgrade_policy: policy } => Ok(Self {
        user: Some(user.into()),
        session_expire_time: Some(time::timestamp(expire_time)),
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

fn entry((key, value, revision, expire_time): Row) -> v1::Entry {
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
        limits: Some((&info.limits).into()),
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
