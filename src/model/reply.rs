//! The contents of replies.

use std::borrow::Cow;

use super::{Durability, Key, Limits, Role, UnixMillis, UpgradePolicy, Value};

/// Result of one operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the result of the operation of its name")]
pub enum Outcome {
    Get(Option<Entry>),
    Put { revision: u64 },
    Delete { deleted: bool },
}

/// Value of a key, with its revision and expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The store's revision at the key's last write.
    pub revision: u64,
    /// When the key goes; `None`: never.
    pub expire_time: Option<UnixMillis>,
}

/// Row of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// Key of the entry.
    pub key: Key,
    /// Value, or `None` if only keys were asked for.
    pub value: Option<Value>,
    /// Store's revision at the key's last write.
    pub revision: u64,
    /// Time at which the key expires, or `None` if it does not.
    pub expire_time: Option<UnixMillis>,
}

/// A place in a store's sequence of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Generation of the sequence.
    pub epoch: u64,
    /// Number of changes so far.
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
    /// Number of members.
    pub member_count: u32,
}

/// A write that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision that it made.
    pub revision: u64,
    /// The degree to which the write is kept.
    pub durability: Durability,
}

/// A removal that was done, or found nothing to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// True if the key was there.
    pub deleted: bool,
    /// The store's revision afterwards.
    pub revision: u64,
    /// The degree to which the removal is kept.
    pub durability: Durability,
}

/// A batch that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batched {
    /// One outcome for each operation, in order.
    pub outcomes: Vec<Outcome>,
    /// The store's revision afterwards.
    pub revision: u64,
    /// The degree to which the batch is kept.
    pub durability: Durability,
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<Key>,
    /// The token of the next page; empty after the last.
    pub next_page_token: String,
    /// The store's position when the listing began.
    pub position: Position,
}

/// The entries of one step of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPage {
    /// The entries, in the listing's order.
    pub entries: Vec<ListedEntry>,
    /// The cursor of the next step, or `None` after the last.
    pub cursor: Option<String>,
    /// The store's position when the scan began.
    pub position: Position,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The token of the next page; empty after the last.
    pub next_page_token: String,
}

/// The caller, as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name and role.
    pub user: User,
    /// The time at which its session ends, if it is not used until then.
    pub expire_time: Option<UnixMillis>,
    /// The callers that may promote a guest.
    pub upgrade_policy: UpgradePolicy,
}

/// The server's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: i32,
    /// The local date.
    pub date: String,
    /// The local time of day.
    pub time_of_day: String,
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Calculated {
    /// The value.
    pub result: f64,
    /// The value as the `calc` protocol writes it.
    pub text: String,
}

/// A session that was opened, or that took a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The bearer token; a secret.
    pub token: String,
    /// User of the session.
    pub user: User,
    /// When it ends.
    pub expire_time: Option<UnixMillis>,
}

/// Access of another user to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// User that made the access.
    pub user: User,
    /// The account whose role was used; empty: the user's own.
    pub account: String,
    /// The listener.
    pub protocol: Cow<'static, str>,
    /// The RPC.
    pub method: &'static str,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// Number of equal accesses.
    pub count: u64,
    /// The first time.
    pub first_time: UnixMillis,
    /// The latest time.
    pub last_time: UnixMillis,
}

/// Version, engine, policy, limits and listeners of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name in the contract")]
pub struct ServerInfo {
    pub store_engine: &'static str,
    pub durability: Durability,
    pub upgrade_policy: UpgradePolicy,
    pub limits: Limits,
    pub listeners: Vec<ListenerInfo>,
}

/// A place where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Protocol that is spoken there.
    pub protocol: &'static str,
    /// The address.
    pub address: String,
    /// True if it is TLS.
    pub tls: bool,
}
