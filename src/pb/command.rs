//! Requests to commands: here a request is checked, field by field.

use super::{time, v1};
use crate::model::{
    ChatMessage, Command, Delete, Error, Expiry, Key, Operation, Operations, Page, Position,
    Prefix, Put, Reason, RequestId, Result, RoomName, UserName, Value,
};

/// The fields that each kind of put has, under the same names.
macro_rules! put {
    ($request:expr, $module:ident) => {{
        let request = $request;
        let value = match request.data {
            Some(v1::$module::Data::Value(text)) => Value::text(text)?,
            Some(v1::$module::Data::Blob(bytes)) => {
                Value::blob(bytes).map_err(|error| error.in_field("blob"))?
            }
            None => return Err(no_value()),
        };
        let expiry = match request.expiry {
            Some(v1::$module::Expiry::Ttl(ttl)) => Some(time::ttl(ttl)?),
            Some(v1::$module::Expiry::ExpireTime(at)) => Some(time::expire_time(at)?),
            None => None,
        };
        put(request.key, value, expiry, request.if_revision)?
    }};
}

fn put(key: String, value: Value, expiry: Option<Expiry>, if_revision: Option<u64>) -> Result<Put> {
    Ok(Put { key: Key::new(key)?, value, expiry, if_revision })
}

pub(super) fn no_value() -> Error {
    Error::new(Reason::InvalidValue, "no value; set `value` (text) or `blob` (bytes)")
        .in_field("value")
}

/// Empty means the caller.
pub(crate) fn user_or_caller(name: String) -> Result<Option<UserName>> {
    if name.is_empty() { Ok(None) } else { UserName::new(name).map(Some) }
}

impl TryFrom<v1::GetRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::GetRequest) -> Result<Self> {
        Ok(Self::Get { key: Key::new(request.key)? })
    }
}

impl TryFrom<v1::PutRequest> for Command {
    type Error = Error;

    fn try_from(mut request: v1::PutRequest) -> Result<Self> {
        let request_id = RequestId::new(std::mem::take(&mut request.request_id))?;
        Ok(Self::Put { put: put!(request, put_request), request_id })
    }
}

impl TryFrom<v1::DeleteRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::DeleteRequest) -> Result<Self> {
        let request_id = RequestId::new(request.request_id)?;
        let delete = Delete { key: Key::new(request.key)?, if_revision: request.if_revision };
        Ok(Self::Delete { delete, request_id })
    }
}

impl TryFrom<v1::GetOtherRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::GetOtherRequest) -> Result<Self> {
        Ok(Self::GetOther { user: UserName::new(request.user)?, key: Key::new(request.key)? })
    }
}

impl TryFrom<v1::PutOtherRequest> for Command {
    type Error = Error;

    fn try_from(mut request: v1::PutOtherRequest) -> Result<Self> {
        let user = UserName::new(std::mem::take(&mut request.user))?;
        let request_id = RequestId::new(std::mem::take(&mut request.request_id))?;
        Ok(Self::PutOther { user, put: put!(request, put_other_request), request_id })
    }
}

impl TryFrom<v1::ListKeysRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ListKeysRequest) -> Result<Self> {
        let user = user_or_caller(request.user)?;
        let page = Page { size: request.page_size, token: request.page_token };
        Ok(Self::ListKeys { user, prefix: Prefix::new(request.prefix)?, page })
    }
}

impl TryFrom<v1::ScanRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ScanRequest) -> Result<Self> {
        let user = user_or_caller(request.user)?;
        Ok(Self::Scan {
            user,
            prefix: Prefix::new(request.prefix)?,
            keys_only: request.keys_only,
            cursor: None,
        })
    }
}

impl TryFrom<v1::BatchRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::BatchRequest) -> Result<Self> {
        batch(request.operations, request.request_id)
    }
}

impl TryFrom<v1::PipelineRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::PipelineRequest) -> Result<Self> {
        batch(request.operations, request.request_id)
    }
}

fn batch(operations: Vec<v1::Operation>, request_id: String) -> Result<Command> {
    let request_id = RequestId::new(request_id)?;
    // More than a batch may have are not looked at: the service refuses them by their number.
    let operations = operations
        .into_iter()
        .enumerate()
        .map(|(index, operation)| {
            Operation::try_from(operation).map_err(|error| error.in_operation(index))
        })
        .collect::<Result<Operations>>()?;
    Ok(Command::Batch { operations, request_id })
}

impl TryFrom<v1::Operation> for Operation {
    type Error = Error;

    fn try_from(operation: v1::Operation) -> Result<Self> {
        match operation.operation {
            Some(v1::operation::Operation::Get(get)) => Ok(Self::Get { key: Key::new(get.key)? }),
            Some(v1::operation::Operation::Put(request)) => {
                Ok(Self::Put(put!(request, put_operation)))
            }
            Some(v1::operation::Operation::Delete(request)) => Ok(Self::Delete(Delete {
                key: Key::new(request.key)?,
                if_revision: request.if_revision,
            })),
            None => {
                Err(Error::new(Reason::InvalidBatch, "no operation; set `get`, `put` or `delete`"))
            }
        }
    }
}

impl TryFrom<v1::SignInRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::SignInRequest) -> Result<Self> {
        Ok(Self::SignIn { user: UserName::new(request.user)? })
    }
}

impl TryFrom<v1::AuthRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::AuthRequest) -> Result<Self> {
        Ok(Self::Auth { user: request.user, password: request.password })
    }
}

impl TryFrom<v1::UpgradeRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::UpgradeRequest) -> Result<Self> {
        Ok(Self::Upgrade { user: user_or_caller(request.user)? })
    }
}

impl TryFrom<v1::DowngradeRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::DowngradeRequest) -> Result<Self> {
        Ok(Self::Downgrade {
            user: UserName::new(request.user)?,
            end_sessions: request.end_sessions,
        })
    }
}

impl TryFrom<v1::ListUsersRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ListUsersRequest) -> Result<Self> {
        Ok(Self::ListUsers { page: Page { size: request.page_size, token: request.page_token } })
    }
}

impl TryFrom<v1::SendRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::SendRequest) -> Result<Self> {
        let room = RoomName::new(request.room)?;
        let message = ChatMessage::new(request.text, request.client_message_id)?;
        Ok(Self::Send { room, message })
    }
}

impl TryFrom<v1::ListMembersRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ListMembersRequest) -> Result<Self> {
        let page = Page { size: request.page_size, token: request.page_token };
        Ok(Self::ListMembers { room: RoomName::new(request.room)?, page })
    }
}

impl TryFrom<v1::ListRoomsRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ListRoomsRequest) -> Result<Self> {
        Ok(Self::ListRooms { page: Page { size: request.page_size, token: request.page_token } })
    }
}

impl From<v1::Position> for Position {
    fn from(position: v1::Position) -> Self {
        Self { epoch: position.epoch, sequence: position.sequence }
    }
}

impl TryFrom<v1::ListAccessesRequest> for Command {
    type Error = Error;

    fn try_from(request: v1::ListAccessesRequest) -> Result<Self> {
        Ok(Self::ListAccesses { page: Page { size: request.page_size, token: request.page_token } })
    }
}

/// The requests that have nothing to check.
macro_rules! plain {
    ($($request:ident $(. $field:ident)? => $command:ident,)+) => {$(
        impl TryFrom<v1::$request> for Command {
            type Error = Error;

            fn try_from(_request: v1::$request) -> Result<Self> {
                Ok(Self::$command $({ $field: _request.$field })?)
            }
        }
    )+};
}

plain! {
    WhoAmIRequest => WhoAmI,
    SignOutRequest => SignOut,
    GetServerInfoRequest => GetServerInfo,
    EncodeRequest.text => Encode,
    DecodeRequest.bits => Decode,
    NowRequest => Now,
    CalculateRequest.expression => Calculate,
}
