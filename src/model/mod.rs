//! The vocabulary of all doors: names, keys, values, commands, replies, errors. No I/O, no async,
//! no protobuf.

mod arithmetic;
mod bits;
mod chat;
mod command;
mod error;
mod key;
mod limits;
mod name;
mod operations;
mod request_id;
mod role;
mod time;
mod value;

pub use arithmetic::{DIVISION_BY_ZERO, calculate};
pub use bits::{decode_bits, encode_bits};
pub use chat::{LOBBY, RoomName, Saying};
pub use command::{
    Access, Command, Delete, DoorInfo, Entry, Operation, Outcome, Page, Position, Put, Reply, Room,
    ServerInfo, SessionInfo, User,
};
pub use error::{Error, Reason, Result};
pub use key::{Key, Prefix};
pub use limits::*;
pub use name::UserName;
pub use operations::{OperationRef, Operations, PutRef};
pub use request_id::RequestId;
pub use role::{Durability, Role, UpgradePolicy};
pub use time::{Expiry, Millis};
pub use value::Value;
