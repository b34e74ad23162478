//! The vocabulary of all listeners: names, keys, values, commands, replies, errors. No I/O, no
//! async, no protobuf.

mod arithmetic;
mod bits;
mod chat;
mod error;
mod key;
mod limits;
pub(crate) mod method;
mod name;
mod operations;
mod reply;
pub mod request;
mod request_id;
mod role;
pub mod source;
mod time;
mod value;

pub use arithmetic::{DIVISION_BY_ZERO, calculate};
pub use bits::{decode_bits, encode_bits};
pub use chat::{ChatEvent, ChatMessage, LOBBY, Participant, RoomName};
pub use error::{Error, Reason, Result};
pub use key::{Key, Prefix};
pub use limits::*;
pub use method::{Method, Permission, Permissions};
pub use name::UserName;
pub use operations::{OperationRef, Operations, PutRef};
pub use reply::{
    Access, Batched, Calculated, Deleted, Entry, EntryPage, Identity, KeyPage, ListedEntry,
    ListenerInfo, Listing, Outcome, Position, Room, ServerInfo, SessionInfo, Time, User, Written,
};
pub use request::{Command, Delete, Operation, Page, Put, Reply, Request};
pub use request_id::RequestId;
pub use role::{Durability, Role, UpgradePolicy};
pub use time::{Expiry, UnixMillis, whole_millis};
pub use value::Value;
