//! Requests and their replies, paired by type; `Command` and `Reply` are any of them.

use super::method::for_each_command;
use super::reply::{
    Access, Batched, Calculated, Deleted, Entry, EntryPage, Identity, KeyPage, Listing, Position,
    Room, ServerInfo, SessionInfo, Time, User, Written,
};
use super::{
    ChatMessage, Expiry, Key, Method, Operations, Prefix, RequestId, RoomName, UserName, Value,
};

/// A request of one RPC.
///
/// The reply's type belongs to the request, so that a wrong pair does not compile.
pub trait Request: std::marker::Send + 'static {
    /// The RPC.
    const METHOD: Method;
    /// The reply of a call that succeeds.
    type Reply: std::marker::Send;

    /// Returns the user whom the request names, or `None` if it is about the caller.
    fn target(&self) -> Option<&UserName> {
        None
    }
}

/// Implements [`Request`]: the RPC of the same name, its reply, and the field that names a user.
macro_rules! requests {
    ($($name:ident -> $reply:ty $(, target $target:expr)?;)+) => {$(
        impl Request for $name {
            const METHOD: Method = Method::$name;
            type Reply = $reply;

            $(fn target(&self) -> Option<&UserName> {
                let target: fn(&Self) -> Option<&UserName> = $target;
                target(self)
            })?
        }
    )+};
}

requests! {
    Get -> Entry;
    Put -> Written;
    Delete -> Deleted;
    GetOther -> Entry, target |request| Some(&request.user);
    PutOther -> Written, target |request| Some(&request.user);
    ListKeys -> KeyPage, target |request| request.user.as_ref();
    Scan -> EntryPage, target |request| request.user.as_ref();
    Batch -> Batched;
    SignIn -> SessionInfo;
    Auth -> SessionInfo;
    Upgrade -> User, target |request| request.user.as_ref();
    Downgrade -> User, target |request| Some(&request.user);
    WhoAmI -> Identity;
    SignOut -> ();
    ListUsers -> Listing<User>;
    ListAccesses -> Listing<Access>;
    Send -> Position;
    ListMembers -> Listing<User>;
    ListRooms -> Listing<Room>;
    GetServerInfo -> Box<ServerInfo>;
    Encode -> String;
    Decode -> String;
    Now -> Time;
    Calculate -> Calculated;
}

/// Reads a key of the caller's store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct Get {
    pub key: Key,
}

/// Writes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key to write.
    pub key: Key,
    /// Its new value.
    pub value: Value,
    /// The time at which the key expires, or `None` if it does not.
    pub expiry: Option<Expiry>,
    /// The revision that the key must have; 0: the key must not exist.
    pub if_revision: Option<u64>,
    /// Makes a retry safe. An operation of a batch has none.
    pub request_id: Option<RequestId>,
}

/// Removes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The key to remove.
    pub key: Key,
    /// The revision that the key must have; 0: the key must not exist.
    pub if_revision: Option<u64>,
    /// Makes a retry safe. An operation of a batch has none.
    pub request_id: Option<RequestId>,
}

/// Reads a key of the store of the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct GetOther {
    pub user: UserName,
    pub key: Key,
}

/// Writes a key of the store of the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct PutOther {
    pub user: UserName,
    pub put: Put,
}

/// Lists keys, a page at a time. `user` is `None` for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct ListKeys {
    pub user: Option<UserName>,
    pub prefix: Prefix,
    pub page: Page,
}

/// One step of a scan: the first without `cursor`, each later one with that of the step before.
/// `user` is `None` for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Scan {
    pub user: Option<UserName>,
    pub prefix: Prefix,
    pub keys_only: bool,
    /// The token of an earlier scan that this one resumes, or empty.
    pub page_token: String,
    /// The token of the next step of this scan, once it has begun.
    pub cursor: Option<String>,
}

/// Does several operations, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Batch {
    pub operations: Operations,
    pub request_id: Option<RequestId>,
}

/// Opens a guest's session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct SignIn {
    pub user: UserName,
}

/// Checks an account's password. The name is unchecked: a bad one is a wrong one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Auth {
    pub user: String,
    pub password: String,
}

/// Promotes a user. `user` is `None` for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct Upgrade {
    pub user: Option<UserName>,
}

/// Takes a manager's role back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Downgrade {
    pub user: UserName,
    pub end_sessions: bool,
}

/// Asks who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI;

/// Ends the caller's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOut;

/// Lists all users, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct ListUsers {
    pub page: Page,
}

/// Lists the accesses of others to the caller's store, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct ListAccesses {
    pub page: Page,
}

/// Sends a message to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Send {
    pub room: RoomName,
    pub message: ChatMessage,
}

/// Lists a room's members, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct ListMembers {
    pub room: RoomName,
    pub page: Page,
}

/// Lists the rooms, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct ListRooms {
    pub page: Page,
}

/// Asks for version, limits, engine and listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetServerInfo;

/// Writes text as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct Encode {
    pub text: String,
}

/// Reads bits as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct Decode {
    pub bits: String,
}

/// Asks for the server's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now;

/// Works out an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field is that of the contract")]
pub struct Calculate {
    pub expression: String,
}

/// Opens a stream of batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline;

/// Follows the changes of keys with this prefix. `user` is `None` for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Watch {
    pub user: Option<UserName>,
    pub prefix: Prefix,
    /// The position behind which changes are wanted, or `None` for changes from now on.
    pub after: Option<Position>,
}

/// Joins a room, and creates it if it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Chat {
    pub room: RoomName,
    /// The position behind which events are wanted, or `None` for the room's history.
    pub after: Option<Position>,
}

/// Joins a room that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the contract")]
pub struct Subscribe {
    pub room: RoomName,
    /// The position behind which events are wanted, or `None` for the room's history.
    pub after: Option<Position>,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the operation of its name")]
pub enum Operation {
    Get { key: Key },
    Put(Put),
    Delete(Delete),
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many rows; 0 for the default. More than [`super::MAX_PAGE_SIZE`] are not given.
    pub size: u32,
    /// The token that the page before gave; empty for the first.
    pub token: String,
}

macro_rules! commands {
    ($($name:ident)+) => {
        /// Any request, as a legacy protocol or a queue holds it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is the request of its name")]
        pub enum Command { $($name($name),)+ }

        /// The reply to any request.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is the reply to the request of its name")]
        pub enum Reply { $($name(<$name as Request>::Reply),)+ }

        impl Command {
            /// Returns the RPC of the command.
            pub const fn method(&self) -> Method {
                match self { $(Self::$name(_) => Method::$name,)+ }
            }
        }

        $(impl From<$name> for Command {
            fn from(request: $name) -> Self {
                Self::$name(request)
            }
        })+
    };
}

for_each_command!(commands);
