//! Requests to commands: here a request is checked, field by field.

use super::{time, v1};
use crate::model::request::{
    Auth, Calculate, Decode, Delete, Downgrade, Encode, Get, GetOther, GetServerInfo, ListAccesses,
    ListKeys, ListMembers, ListRooms, ListUsers, Now, Put, PutOther, Scan, Send, SignIn, SignOut,
    Subscribe, Upgrade, Watch, WhoAmI,
};
use crate::model::{
    ChatMessage, Error, Key, Page, Position, Prefix, Reason, RequestId, Result, RoomName, UserName,
    Value,
};

/// Reads a put, whose fields have the same names in both of its messages.
macro_rules! put {
    ($request:expr, $module:ident) => {{
        let request = $request;
        let request_id = RequestId::new(request.request_id)?;
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
        let (key, if_revision) = (Key::new(request.key)?, request.if_revision);
        Put { key, value, expiry, if_revision, request_id }
    }};
}

pub(super) fn no_value() -> Error {
    Error::new(Reason::InvalidValue, "no value; set `value` (text) or `blob` (bytes)")
        .in_field("value")
}

/// Reads a name. An empty one means the caller.
fn user_or_caller(name: String) -> Result<Option<UserName>> {
    if name.is_empty() { Ok(None) } else { UserName::new(name).map(Some) }
}

/// Implements the conversion of a request.
macro_rules! requests {
    ($($message:ident => $command:ident |$request:ident| $body:expr;)+) => {$(
        impl TryFrom<v1::$message> for $command {
            type Error = Error;

            fn try_from($request: v1::$message) -> Result<Self> {
                Ok($body)
            }
        }
    )+};
}

requests! {
    GetRequest => Get |request| Get { key: Key::new(request.key)? };
    PutRequest => Put |request| put!(request, put_request);
    DeleteRequest => Delete |request| {
        let request_id = RequestId::new(request.request_id)?;
        let (key, if_revision) = (Key::new(request.key)?, request.if_revision);
        Delete { key, if_revision, request_id }
    };
    GetOtherRequest => GetOther |request| {
        GetOther { user: UserName::new(request.user)?, key: Key::new(request.key)? }
    };
    PutOtherRequest => PutOther |request| {
        let mut request = request;
        let user = UserName::new(std::mem::take(&mut request.user))?;
        PutOther { user, put: put!(request, put_other_request) }
    };
    ListKeysRequest => ListKeys |request| {
        let user = user_or_caller(request.user)?;
        let page = page(request.page_size, request.page_token);
        ListKeys { user, prefix: Prefix::new(request.prefix)?, page }
    };
    ScanRequest => Scan |request| {
        let user = user_or_caller(request.user)?;
        let (prefix, keys_only) = (Prefix::new(request.prefix)?, request.keys_only);
        Scan { user, prefix, keys_only, page_token: request.page_token, cursor: None }
    };
    WatchRequest => Watch |request| {
        let user = user_or_caller(request.user)?;
        let (prefix, after) = (Prefix::new(request.prefix)?, request.after.map(Into::into));
        Watch { user, prefix, after }
    };
    SignInRequest => SignIn |request| SignIn { user: UserName::new(request.user)? };
    AuthRequest => Auth |request| Auth { user: request.user, password: request.password };
    UpgradeRequest => Upgrade |request| Upgrade { user: user_or_caller(request.user)? };
    DowngradeRequest => Downgrade |request| {
        Downgrade { user: UserName::new(request.user)?, end_sessions: request.end_sessions }
    };
    WhoAmIRequest => WhoAmI |_request| WhoAmI;
    SignOutRequest => SignOut |_request| SignOut;
    ListUsersRequest => ListUsers |request| {
        ListUsers { page: page(request.page_size, request.page_token) }
    };
    ListAccessesRequest => ListAccesses |request| {
        ListAccesses { page: page(request.page_size, request.page_token) }
    };
    SubscribeRequest => Subscribe |request| {
        Subscribe { room: RoomName::new(request.room)?, after: request.after.map(Into::into) }
    };
    SendRequest => Send |request| {
        let room = RoomName::new(request.room)?;
        Send { room, message: ChatMessage::new(request.text, request.client_message_id)? }
    };
    ListMembersRequest => ListMembers |request| {
        let page = page(request.page_size, request.page_token);
        ListMembers { room: RoomName::new(request.room)?, page }
    };
    ListRoomsRequest => ListRooms |request| {
        ListRooms { page: page(request.page_size, request.page_token) }
    };
    GetServerInfoRequest => GetServerInfo |_request| GetServerInfo;
    EncodeRequest => Encode |request| Encode { text: request.text };
    DecodeRequest => Decode |request| Decode { bits: request.bits };
    NowRequest => Now |_request| Now;
    CalculateRequest => Calculate |request| Calculate { expression: request.expression };
}

fn page(size: u32, token: String) -> Page {
    Page { size, token }
}

impl From<v1::Position> for Position {
    fn from(position: v1::Position) -> Self {
        Self { epoch: position.epoch, sequence: position.sequence }
    }
}
