//! The vocabulary of all doors: names, keys, values, commands, replies, errors. No I/O, no async,
//! no protobuf.

mod arithmetic;
mod bits;
mod chat;
mod command;
mod error;
mod key;
mod name;
mod operations;
mod request_id;
mod role;
mod time;
mod value;

pub use arithmetic::{DIVISION_BY_ZERO, MAX_EXPRESSION_BYTES, calculate};
pub use bits::{MAX_DECODE_BYTES, MAX_ENCODE_BYTES, decode_bits, encode_bits};
pub use chat::{
    ChatEvent, ChatMessage, LOBBY, MAX_MESSAGE_ID_BYTES, MAX_TEXT_BYTES, Participant, RoomName,
};
pub use command::{
    Access, Command, Delete, DoorInfo, Entry, Operation, Outcome, Page, Position, Put, Reply, Room,
    ServerInfo, SessionInfo, User,
};
pub use error::{Error, Reason, Result};
pub use key::{Key, MAX_KEY_BYTES, Prefix};
pub use name::{MAX_NAME_CHARACTERS, UserName};
pub use operations::{OperationRef, Operations, PutRef};
pub use request_id::{MAX_REQUEST_ID_BYTES, RequestId};
pub use role::{Durability, Role, UpgradePolicy};
pub use time::{Expiry, MAX_TTL, MIN_TTL, Millis};
pub use value::{MAX_VALUE_BYTES, Value};

/// The most operations in a batch.
pub const MAX_BATCH_OPERATIONS: usize = 1_000;
/// The most bytes of keys and values in a batch, and the largest message at the gRPC door.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// The most rows in a page; a request for more gets this many.
pub const MAX_PAGE_SIZE: u32 = 1_000;
/// The rows of a page when the request does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 100;
