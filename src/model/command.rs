//! What can be asked, and what is answered.

use std::borrow::Cow;
use std::time::Duration;

use super::{
    ChatMessage, Durability, Expiry, Key, Millis, Operations, Prefix, RequestId, Role, RoomName,
    UpgradePolicy, UserName, Value,
};

/// What a caller asks, whatever door it came by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the RPC of its name in the contract")]
pub enum Command {
    Get {
        key: Key,
    },
    Put {
        put: Put,
        request_id: Option<RequestId>,
    },
    Delete {
        delete: Delete,
        request_id: Option<RequestId>,
    },
    GetOther {
        user: UserName,
        key: Key,
    },
    PutOther {
        user: UserName,
        put: Put,
        request_id: Option<RequestId>,
    },
    /// `user` is `None` for the caller.
    ListKeys {
        user: Option<UserName>,
        prefix: Prefix,
        page: Page,
    },
    /// One step of a scan: the first without `cursor`, each later one with that of the step before.
    Scan {
        user: Option<UserName>,
        prefix: Prefix,
        keys_only: bool,
        cursor: Option<String>,
    },
    Batch {
        operations: Operations,
        request_id: Option<RequestId>,
    },
    SignIn {
        user: UserName,
    },
    /// The name is not checked beforehand: a bad one is a wrong one.
    Auth {
        user: String,
        password: String,
    },
    Upgrade {
        user: Option<UserName>,
    },
    Downgrade {
        user: UserName,
        end_sessions: bool,
    },
    WhoAmI,
    SignOut,
    ListUsers {
        page: Page,
    },
    ListAccesses {
        page: Page,
    },
    Send {
        room: RoomName,
        message: ChatMessage,
    },
    ListMembers {
        room: RoomName,
        page: Page,
    },
    ListRooms {
        page: Page,
    },
    GetServerInfo,
    Encode {
        text: String,
    },
    Decode {
        bits: String,
    },
    Now,
    Calculate {
        expression: String,
    },
}

/// A write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// What to write to.
    pub key: Key,
    /// What to write.
    pub value: Value,
    /// When the key goes; `None`: never.
    pub expiry: Option<Expiry>,
    /// Only if this is the key's revision; 0: only if there is no such key.
    pub if_revision: Option<u64>,
}

/// A removal of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// What to remove.
    pub key: Key,
    /// Only if this is the key's revision; 0: only if there is no such key.
    pub if_revision: Option<u64>,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the operation of its name")]
pub enum Operation {
    Get { key: Key },
    Put(Put),
    Delete(Delete),
}

/// What one operation of a batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the result of the operation of its name")]
pub enum Outcome {
    Get(Option<Entry>),
    Put { revision: u64 },
    Delete { deleted: bool },
}

/// Which page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many rows; 0 for the default. More than [`super::MAX_PAGE_SIZE`] are not given.
    pub size: u32,
    /// The token that the page before gave; empty for the first.
    pub token: String,
}

/// What a caller is answered.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each answers the command of its name")]
pub enum Reply {
    /// Answers Get and GetOther: absence is the error `KEY_NOT_FOUND`.
    Entry(Entry),
    /// Answers Put and PutOther.
    Put {
        revision: u64,
        durability: Durability,
    },
    Delete {
        deleted: bool,
        revision: u64,
        durability: Durability,
    },
    Keys {
        keys: Vec<Key>,
        next_page_token: String,
        position: Position,
    },
    /// Answers a step of Scan; without `cursor` it was the last.
    Entries {
        entries: Vec<(Key, Option<Value>, u64, Option<Millis>)>,
        cursor: Option<String>,
        position: Position,
    },
    Batch {
        outcomes: Vec<Outcome>,
        revision: u64,
        durability: Durability,
    },
    /// Answers SignIn and Auth.
    Session(SessionInfo),
    /// Answers Upgrade and Downgrade.
    User(User),
    WhoAmI {
        user: User,
        expire_time: Millis,
        upgrade_policy: UpgradePolicy,
    },
    SignedOut,
    Users {
        users: Vec<User>,
        next_page_token: String,
    },
    Accesses {
        accesses: Vec<Access>,
        next_page_token: String,
    },
    Sent {
        position: Position,
    },
    Members {
        members: Vec<User>,
        next_page_token: String,
    },
    Rooms {
        rooms: Vec<Room>,
        next_page_token: String,
    },
    ServerInfo(Box<ServerInfo>),
    Encoded {
        bits: String,
    },
    Decoded {
        text: String,
    },
    /// Seconds and nanoseconds since the Unix epoch, and the server's local date and time of day.
    Now {
        seconds: i64,
        nanos: i32,
        date: String,
        time_of_day: String,
    },
    Calculated {
        result: f64,
        text: String,
    },
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The store's revision at the key's last write.
    pub revision: u64,
    /// When the key goes; `None`: never.
    pub expire_time: Option<Millis>,
}

/// A place in a store's sequence of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the sequence.
    pub epoch: u64,
    /// How many changes there were.
    pub sequence: u64,
}

/// A user, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name, as it wrote it.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// A room, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its name, as the first that used it wrote it.
    pub name: String,
    /// How many are in it.
    pub member_count: u32,
}

/// A session that was opened, or that took a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The bearer token; a secret.
    pub token: String,
    /// Who the session is.
    pub user: User,
    /// When it ends.
    pub expire_time: Millis,
}

/// What another user did with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub user: User,
    /// The account whose role was used; empty: the user's own.
    pub account: String,
    /// The door.
    pub door: Cow<'static, str>,
    /// The RPC.
    pub method: &'static str,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// How many times.
    pub count: u64,
    /// The first time.
    pub first_time: Millis,
    /// The latest time.
    pub last_time: Millis,
}

/// What the server tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name in the contract")]
pub struct ServerInfo {
    pub store_engine: &'static str,
    pub durability: Durability,
    pub upgrade_policy: UpgradePolicy,
    pub max_keys_per_user: u64,
    pub max_bytes_per_user: u64,
    pub entry_overhead_bytes: u32,
    pub max_bytes_total: u64,
    pub max_sessions: u64,
    pub guest_idle_timeout: Duration,
    pub account_session_age: Duration,
    pub call_timeout: Duration,
    pub request_id_window: Duration,
    pub max_request_ids: u32,
    pub chat_messages_per_second: u32,
    pub chat_burst: u32,
    pub max_rooms: u32,
    pub max_rooms_per_user: u32,
    pub max_members_per_room: u32,
    pub max_room_history: u32,
    pub max_room_history_bytes: u64,
    pub max_history_bytes_total: u64,
    pub max_kept_changes: u32,
    pub max_kept_change_bytes: u64,
    pub heartbeat_interval: Duration,
    pub doors: Vec<DoorInfo>,
}

/// A place where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorInfo {
    /// What is spoken there.
    pub dialect: &'static str,
    /// The address.
    pub address: String,
    /// Whether it is TLS.
    pub tls: bool,
}
